package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-msgio"
	"github.com/libp2p/go-msgio/pbio"
	"google.golang.org/protobuf/proto"
)

// messageMax is the frame limit of the library, in bytes.
const messageMax = network.MessageSizeMax

type answer struct {
	Type      string    `json:"type"`
	Key       string    `json:"key_hex"`
	Closer    []peerOut `json:"closer"`
	Providers []peerOut `json:"providers"`
}

type conversation struct {
	Event   string   `json:"event"`
	Sent    []string `json:"sent"`
	Answers []answer `json:"answers"`
	// End is how the server ended its side: "eof", "reset", "extra" (an answer nobody asked for), or an error.
	End string `json:"end"`
	// Provider is this client, as its ADD_PROVIDER told it.
	Provider peerOut `json:"provider"`
}

// stream sends four requests on one stream: FIND_NODE, ADD_PROVIDER, FIND_NODE, GET_PROVIDERS. The first
// answer is read before ADD_PROVIDER is sent, the last two only after the write side is closed. It prints
// what it saw, and judges nothing but that the stream could be opened and written.
func stream(ctx context.Context, o *options) error {
	content, err := contentID(o)
	if err != nil {
		return err
	}
	h, servers, err := connectedHost(ctx, o)
	if err != nil {
		return err
	}
	to := servers[0]
	defer h.Close()
	target := h.ID()
	if o.target != "" {
		if target, err = targetID(o); err != nil {
			return err
		}
	}
	s, err := h.NewStream(ctx, to.ID, protocol.ID(o.protocol))
	if err != nil {
		return err
	}
	defer s.Reset()
	if deadline, ok := ctx.Deadline(); ok {
		if err := s.SetDeadline(deadline); err != nil {
			return err
		}
	}
	me := peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}
	add := pb.NewMessage(pb.Message_ADD_PROVIDER, content.Hash(), 0)
	add.ProviderPeers = pb.RawPeerInfosToPBPeers([]peer.AddrInfo{me})
	findNode := pb.NewMessage(pb.Message_FIND_NODE, []byte(target), 0)
	get := pb.NewMessage(pb.Message_GET_PROVIDERS, content.Hash(), 0)

	out := conversation{Event: "stream", Answers: []answer{}, Provider: infoOut(me)}
	reader := msgio.NewVarintReaderSize(s, messageMax)
	defer reader.Close()
	if err := out.send(s, findNode); err != nil {
		return err
	}
	if out.read(reader) {
		if err := out.send(s, add, findNode, get); err != nil {
			return err
		}
		if err := s.CloseWrite(); err != nil {
			return err
		}
		// One more than is due: the last read has to be the end of the stream.
		for len(out.Answers) < 4 && out.read(reader) {
		}
		if out.End == "" {
			out.End = "extra"
		}
	}
	return print(out)
}

func (c *conversation) send(s network.Stream, messages ...*pb.Message) error {
	buffered := bufio.NewWriter(s)
	writer := pbio.NewDelimitedWriter(buffered)
	for _, message := range messages {
		if err := writer.WriteMsg(message); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		c.Sent = append(c.Sent, message.GetType().String())
	}
	return buffered.Flush()
}

// read takes one answer. It says false, and why in End, when there is none.
func (c *conversation) read(reader msgio.ReadCloser) bool {
	frame, err := reader.ReadMsg()
	switch {
	case errors.Is(err, io.EOF):
		c.End = "eof"
		return false
	case errors.Is(err, network.ErrReset):
		c.End = "reset"
		return false
	case err != nil:
		c.End = err.Error()
		return false
	}
	defer reader.ReleaseMsg(frame)
	var message pb.Message
	if err := proto.Unmarshal(frame, &message); err != nil {
		c.End = "undecodable: " + err.Error()
		return false
	}
	c.Answers = append(c.Answers, answer{
		Type:      message.GetType().String(),
		Key:       hex.EncodeToString(message.GetKey()),
		Closer:    infosOut(pb.PBPeersToPeerInfos(message.GetCloserPeers())),
		Providers: infosOut(pb.PBPeersToPeerInfos(message.GetProviderPeers())),
	})
	return true
}
