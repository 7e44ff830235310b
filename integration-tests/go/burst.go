package main

import (
	"context"
	"sync"
	"sync/atomic"

	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-msgio"
)

type answeredStreams struct {
	Event    string `json:"event"`
	Answered int64  `json:"answered"`
	Again    int64  `json:"again"`
}

// burst asks on --streams streams of one connection at once, then on --again of them, as many as the server takes at a time. It prints how
// many were answered.
func burst(ctx context.Context, o *options) error {
	h, servers, err := connectedHost(ctx, o)
	if err != nil {
		return err
	}
	defer h.Close()
	asked := func(count int) int64 {
		var asking sync.WaitGroup
		var answered atomic.Int64
		for range count {
			asking.Go(func() {
				if askOnce(ctx, h, servers[0].ID, o) == nil {
					answered.Add(1)
				}
			})
		}
		asking.Wait()
		return answered.Load()
	}
	return print(answeredStreams{Event: "burst", Answered: asked(o.streams), Again: asked(o.again)})
}

// askOnce sends a FIND_NODE on a stream of its own.
func askOnce(ctx context.Context, h host.Host, to peer.ID, o *options) error {
	s, err := h.NewStream(network.WithNoDial(ctx, "one connection"), to, protocol.ID(o.protocol))
	if err != nil {
		return err
	}
	defer s.Reset()
	if deadline, ok := ctx.Deadline(); ok {
		if err := s.SetDeadline(deadline); err != nil {
			return err
		}
	}
	var sent conversation
	if err := sent.send(s, pb.NewMessage(pb.Message_FIND_NODE, []byte(h.ID()), 0)); err != nil {
		return err
	}
	reader := msgio.NewVarintReaderSize(s, messageMax)
	defer reader.Close()
	_, err = reader.ReadMsg()
	return err
}
