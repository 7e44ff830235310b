package main

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

type identified struct {
	Event     string   `json:"event"`
	Peer      peerOut  `json:"peer"`
	Agent     string   `json:"agent"`
	Version   string   `json:"protocol_version"`
	Protocols []string `json:"protocols"`
	Security  string   `json:"security"`
	Muxer     string   `json:"muxer"`
	Transport string   `json:"transport"`
	PingUs    int64    `json:"ping_us"`
}

// identifyPeer tells what the server says of itself and how the connection came about.
func identifyPeer(ctx context.Context, o *options) error {
	h, servers, err := connectedHost(ctx, o)
	if err != nil {
		return err
	}
	to := servers[0]
	defer h.Close()
	// Connect returns once identify is done, whether it succeeded or not.
	protocols, err := h.Peerstore().GetProtocols(to.ID)
	if err != nil {
		return err
	}
	if len(protocols) == 0 {
		return fmt.Errorf("the server did not identify itself")
	}
	names := protocol.ConvertToStrings(protocols)
	sort.Strings(names)
	conns := h.Network().ConnsToPeer(to.ID)
	if len(conns) == 0 {
		return fmt.Errorf("the connection is gone")
	}
	state := conns[0].ConnState()
	ctxPing, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	pong := <-ping.Ping(ctxPing, h, to.ID)
	if pong.Error != nil {
		return fmt.Errorf("ping: %w", pong.Error)
	}
	return print(identified{
		Event: "identified", Peer: infoOut(h.Peerstore().PeerInfo(to.ID)),
		Agent: stored(h.Peerstore().Get(to.ID, "AgentVersion")), Version: stored(h.Peerstore().Get(to.ID, "ProtocolVersion")),
		Protocols: names, Security: string(state.Security), Muxer: string(state.StreamMultiplexer),
		Transport: state.Transport, PingUs: pong.RTT.Microseconds(),
	})
}

// stored is a string of the peerstore, empty when the server never told it.
func stored(value any, err error) string {
	text, ok := value.(string)
	if err != nil || !ok {
		return ""
	}
	return text
}

// serve is a plain go-libp2p DHT server, to try clients against.
func serve(ctx context.Context, o *options) error {
	var extra []libp2p.Option
	if o.autonat {
		extra = append(extra, libp2p.EnableAutoNATv2())
	}
	h, err := newHost(o, extra...)
	if err != nil {
		return err
	}
	defer h.Close()
	d, err := dht.New(h, dht.Mode(dht.ModeServer), dht.BootstrapPeers(), dht.DisableAutoRefresh(),
		dht.V1ProtocolOverride(protocol.ID(o.protocol)))
	if err != nil {
		return err
	}
	defer d.Close()
	if o.peer != "" {
		to, err := servers(o)
		if err != nil {
			return err
		}
		if err := h.Connect(ctx, to[0]); err != nil {
			return err
		}
	}
	me := infoOut(peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
	if err := print(map[string]any{"event": "listening", "peer": me}); err != nil {
		return err
	}
	untilStdinCloses(ctx)
	return nil
}
