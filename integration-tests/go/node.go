package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
)

// peerOut is how a peer is printed: its id, and its addresses without the /p2p part.
type peerOut struct {
	ID    string   `json:"id"`
	Addrs []string `json:"addrs"`
}

func infoOut(info peer.AddrInfo) peerOut {
	out := peerOut{ID: info.ID.String(), Addrs: []string{}}
	for _, addr := range info.Addrs {
		out.Addrs = append(out.Addrs, addr.String())
	}
	return out
}

func infosOut(infos []*peer.AddrInfo) []peerOut {
	out := []peerOut{}
	for _, info := range infos {
		out = append(out, infoOut(*info))
	}
	return out
}

// onlyPeer refuses to dial anyone but one peer, so that an answer can only have come from there.
type onlyPeer struct{ id peer.ID }

func (g onlyPeer) InterceptPeerDial(p peer.ID) bool                 { return p == g.id }
func (g onlyPeer) InterceptAddrDial(p peer.ID, _ ma.Multiaddr) bool { return p == g.id }
func (g onlyPeer) InterceptAccept(network.ConnMultiaddrs) bool      { return true }
func (g onlyPeer) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) {
	return true, 0
}
func (g onlyPeer) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}

// server is the peer the command talks to, taken from --peer.
func server(o *options) (peer.AddrInfo, error) {
	if o.peer == "" {
		return peer.AddrInfo{}, fmt.Errorf("%w: --peer is missing", errUsage)
	}
	info, err := peer.AddrInfoFromString(o.peer)
	if err != nil {
		return peer.AddrInfo{}, fmt.Errorf("%w: --peer: %w", errUsage, err)
	}
	return *info, nil
}

// newHost speaks one transport only and listens on loopback, unless --host says otherwise.
func newHost(o *options, extra ...libp2p.Option) (host.Host, error) {
	transport := o.transport
	if transport == "" {
		transport = "tcp"
		if strings.Contains(o.peer, "/quic-v1") {
			transport = "quic"
		}
	}
	opts := []libp2p.Option{
		libp2p.UserAgent("hydra-test-go"), libp2p.DisableRelay(), libp2p.DisableMetrics(),
		libp2p.ResourceManager(&network.NullResourceManager{}),
	}
	switch transport {
	case "tcp":
		opts = append(opts, libp2p.Transport(tcp.NewTCPTransport), libp2p.ListenAddrStrings("/ip4/"+o.host+"/tcp/0"))
	case "quic":
		opts = append(opts, libp2p.Transport(quic.NewTransport), libp2p.ListenAddrStrings("/ip4/"+o.host+"/udp/0/quic-v1"))
	default:
		return nil, fmt.Errorf("%w: --transport is tcp or quic, not %q", errUsage, transport)
	}
	switch o.security {
	case "":
	case "tls":
		opts = append(opts, libp2p.Security(libp2ptls.ID, libp2ptls.New))
	case "noise":
		opts = append(opts, libp2p.Security(noise.ID, noise.New))
	default:
		return nil, fmt.Errorf("%w: --security is tls or noise, not %q", errUsage, o.security)
	}
	return libp2p.New(append(opts, extra...)...)
}

// client is a host that is connected to the server, with the real DHT client on it.
type client struct {
	host   host.Host
	dht    *dht.IpfsDHT
	server peer.AddrInfo
}

func (c *client) close() {
	_ = c.dht.Close()
	_ = c.host.Close()
}

// connectedHost opens a host and connects it to the server of --peer.
func connectedHost(ctx context.Context, o *options) (host.Host, peer.AddrInfo, error) {
	to, err := server(o)
	if err != nil {
		return nil, to, err
	}
	var extra []libp2p.Option
	if !o.follow {
		extra = append(extra, libp2p.ConnectionGater(onlyPeer{to.ID}))
	}
	h, err := newHost(o, extra...)
	if err != nil {
		return nil, to, err
	}
	if err := h.Connect(ctx, to); err != nil {
		_ = h.Close()
		return nil, to, fmt.Errorf("connect: %w", err)
	}
	return h, to, nil
}

// newClient connects and waits until the library has taken the server into its routing table: the library
// does so only with a server that lists the protocol and answers a FIND_NODE.
func newClient(ctx context.Context, o *options) (*client, error) {
	h, to, err := connectedHost(ctx, o)
	if err != nil {
		return nil, err
	}
	d, err := dht.New(h, dht.Mode(dht.ModeClient), dht.BootstrapPeers(), dht.DisableAutoRefresh(),
		dht.V1ProtocolOverride(protocol.ID(o.protocol)))
	if err != nil {
		_ = h.Close()
		return nil, fmt.Errorf("dht: %w", err)
	}
	c := &client{host: h, dht: d, server: to}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for d.RoutingTable().Find(to.ID) == "" {
		select {
		case <-tick.C:
		case <-ctx.Done():
			protocols, _ := h.Peerstore().GetProtocols(to.ID)
			c.close()
			return nil, fmt.Errorf("the server never entered the routing table; it lists %v", protocols)
		}
	}
	return c, nil
}
