package main

import (
	"context"
	"errors"
	"fmt"

	cid "github.com/ipfs/go-cid"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

func contentID(o *options) (cid.Cid, error) {
	c, err := cid.Decode(o.cid)
	if err != nil {
		return c, fmt.Errorf("%w: --cid: %w", errUsage, err)
	}
	return c, nil
}

func targetID(o *options) (peer.ID, error) {
	id, err := peer.Decode(o.target)
	if err != nil {
		return id, fmt.Errorf("%w: --target: %w", errUsage, err)
	}
	return id, nil
}

// provide announces the content to the closest servers the library finds.
func provide(ctx context.Context, o *options) error {
	content, err := contentID(o)
	if err != nil {
		return err
	}
	c, err := newClient(ctx, o)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.dht.Provide(ctx, content, true); err != nil {
		return err
	}
	// Provide succeeds even when no server could be reached: then the server has been dropped from the table.
	if c.dht.RoutingTable().Find(c.server.ID) == "" {
		return errors.New("the server failed the library's requests and left its routing table")
	}
	// The library does not wait for ADD_PROVIDER to reach the server. This request follows it on the same stream:
	// once it is answered, the record is there, and what was answered is not ADD_PROVIDER.
	if err := c.askOnSameStream(ctx); err != nil {
		return fmt.Errorf("FIND_NODE after ADD_PROVIDER: %w", err)
	}
	me := infoOut(peer.AddrInfo{ID: c.host.ID(), Addrs: c.host.Addrs()})
	if err := print(map[string]any{"event": "provided", "cid": content.String(), "provider": me}); err != nil {
		return err
	}
	if o.stay {
		untilStdinCloses(ctx)
	}
	return nil
}

func (c *client) askOnSameStream(ctx context.Context) error {
	request := pb.NewMessage(pb.Message_FIND_NODE, []byte(c.server.ID), 0)
	response, err := c.dht.MessageSender().SendRequest(ctx, c.server.ID, request)
	if err != nil {
		return err
	}
	if response.GetType() != pb.Message_FIND_NODE {
		return fmt.Errorf("answered with %s", response.GetType())
	}
	return nil
}

// tap collects what the server itself answered while `run` runs a lookup through the library.
func (c *client) tap(ctx context.Context, run func(context.Context) error) (closer []peerOut, failed []string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	ctx, events := routing.RegisterForQueryEvents(ctx)
	done := make(chan error, 1)
	go func() {
		done <- run(ctx)
		cancel() // closes `events`
	}()
	closer = []peerOut{}
	for event := range events {
		switch {
		case event.ID != c.server.ID:
		case event.Type == routing.PeerResponse:
			closer = infosOut(event.Responses)
		case event.Type == routing.QueryError:
			failed = append(failed, event.Extra)
		}
	}
	return closer, failed, <-done
}

// find asks for providers. Their addresses are those of the answers: the client knows none beforehand.
func find(ctx context.Context, o *options) error {
	content, err := contentID(o)
	if err != nil {
		return err
	}
	c, err := newClient(ctx, o)
	if err != nil {
		return err
	}
	defer c.close()
	providers := []peerOut{}
	closer, failed, err := c.tap(ctx, func(ctx context.Context) error {
		for info := range c.dht.FindProvidersAsync(ctx, content, 0) {
			providers = append(providers, infoOut(info))
		}
		return nil
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	if len(failed) > 0 {
		return fmt.Errorf("the server failed: %v", failed)
	}
	return print(map[string]any{
		"event": "found", "cid": content.String(), "providers": providers, "closer": closer,
	})
}

// findNode looks one peer up. `peers` is the server's own answer to one FIND_NODE of the library, `found` what
// a whole lookup makes of it.
func findNode(ctx context.Context, o *options) error {
	target, err := targetID(o)
	if err != nil {
		return err
	}
	c, err := newClient(ctx, o)
	if err != nil {
		return err
	}
	defer c.close()
	peers, err := c.messenger.GetClosestPeers(ctx, c.server.ID, target)
	if err != nil {
		return err
	}
	var found *peerOut
	info, err := c.dht.FindPeer(ctx, target)
	switch {
	case err == nil:
		out := infoOut(info)
		found = &out
	case !errors.Is(err, routing.ErrNotFound):
		return err
	}
	return print(map[string]any{
		"event": "found-node", "target": target.String(), "found": found, "peers": infosOut(peers),
	})
}
