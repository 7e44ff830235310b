package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
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

// onlyServers refuses to dial anyone else, so that an answer can only have come from there.
type onlyServers []peer.AddrInfo

func (g onlyServers) has(p peer.ID) bool {
	return slices.ContainsFunc(g, func(server peer.AddrInfo) bool { return server.ID == p })
}

func (g onlyServers) InterceptPeerDial(p peer.ID) bool                 { return g.has(p) }
func (g onlyServers) InterceptAddrDial(p peer.ID, _ ma.Multiaddr) bool { return g.has(p) }
func (g onlyServers) InterceptAccept(network.ConnMultiaddrs) bool      { return true }
func (g onlyServers) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) {
	return true, 0
}
func (g onlyServers) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}

// servers are the peers the command talks to: that of --peer first, then that of --also if there is one.
func servers(o *options) ([]peer.AddrInfo, error) {
	if o.peer == "" {
		return nil, fmt.Errorf("%w: --peer is missing", errUsage)
	}
	var infos []peer.AddrInfo
	for _, text := range []string{o.peer, o.also} {
		if text == "" {
			continue
		}
		info, err := peer.AddrInfoFromString(text)
		if err != nil {
			return nil, fmt.Errorf("%w: --peer, --also: %w", errUsage, err)
		}
		infos = append(infos, *info)
	}
	return infos, nil
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
	host host.Host
	dht  *dht.IpfsDHT
	// Sends one message to one server.
	messenger *pb.ProtocolMessenger
	server    peer.AddrInfo
}

func (c *client) close() {
	_ = c.dht.Close()
	_ = c.host.Close()
}

// connectedHost opens a host and connects it to its servers.
func connectedHost(ctx context.Context, o *options) (host.Host, []peer.AddrInfo, error) {
	to, err := servers(o)
	if err != nil {
		return nil, nil, err
	}
	var extra []libp2p.Option
	if !o.follow {
		extra = append(extra, libp2p.ConnectionGater(onlyServers(to)))
	}
	h, err := newHost(o, extra...)
	if err != nil {
		return nil, nil, err
	}
	for _, server := range to {
		if err := h.Connect(ctx, server); err != nil {
			_ = h.Close()
			return nil, nil, fmt.Errorf("connect: %w", err)
		}
	}
	return h, to, nil
}

// newClient connects and waits until the library has taken its servers into its routing table: the library
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
	messenger, err := pb.NewProtocolMessenger(d.MessageSender())
	if err != nil {
		_ = d.Close()
		_ = h.Close()
		return nil, fmt.Errorf("messenger: %w", err)
	}
	c := &client{host: h, dht: d, messenger: messenger, server: to[0]}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, server := range to {
		for d.RoutingTable().Find(server.ID) == "" {
			select {
			case <-tick.C:
			case <-ctx.Done():
				protocols, _ := h.Peerstore().GetProtocols(server.ID)
				c.close()
				return nil, fmt.Errorf("the server never entered the routing table; it lists %v", protocols)
			}
		}
	}
	return c, nil
}
