package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/path"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

// valuePath is where every record points.
const valuePath = "/ipfs/bafkqaddwgevxmmraojswg33smq"

// toldValue is the record of an answer as it came.
type toldValue struct {
	Key          string `json:"key_hex"`
	Value        string `json:"value_hex"`
	TimeReceived string `json:"time_received"`
}

// owner is the private key of --owner: its protobuf form in hex, which all implementations share.
func owner(o *options) (crypto.PrivKey, peer.ID, error) {
	encoded, err := hex.DecodeString(o.owner)
	if err != nil {
		return nil, "", fmt.Errorf("%w: --owner: %w", errUsage, err)
	}
	private, err := crypto.UnmarshalPrivateKey(encoded)
	if err != nil {
		return nil, "", fmt.Errorf("%w: --owner: %w", errUsage, err)
	}
	id, err := peer.IDFromPrivateKey(private)
	return private, id, err
}

// valueKey is the key of the owner's IPNS record, or with --public-key that of the owner's public key.
func valueKey(o *options, id peer.ID) string {
	if o.publicKey {
		return routing.KeyForPublicKey(id)
	}
	return string(ipns.NameFromPeer(id).RoutingKey())
}

func makeValue(o *options, private crypto.PrivKey) ([]byte, error) {
	if o.publicKey {
		return crypto.MarshalPublicKey(private.GetPublic())
	}
	value, err := path.NewPath(valuePath)
	if err != nil {
		return nil, err
	}
	made, err := ipns.NewRecord(private, value, o.sequence, time.Now().Add(o.lifetime), time.Minute)
	if err != nil {
		return nil, err
	}
	return ipns.MarshalRecord(made)
}

// putValue puts a record through the library, which tells nothing of what the servers answer, and then once more to
// the server of --peer alone, which says what it thinks of it.
func putValue(ctx context.Context, o *options) error {
	private, id, err := owner(o)
	if err != nil {
		return err
	}
	value, err := makeValue(o, private)
	if err != nil {
		return err
	}
	c, err := newClient(ctx, o)
	if err != nil {
		return err
	}
	defer c.close()
	key := valueKey(o, id)
	library := c.dht.PutValue(ctx, key, value)
	server := c.messenger.PutValue(ctx, c.server.ID, record.MakePutRecord(key, value))
	if err := ctx.Err(); err != nil {
		return err
	}
	return print(map[string]any{
		"event": "put", "key_hex": hex.EncodeToString([]byte(key)), "value_hex": hex.EncodeToString(value),
		"library": said(library), "server": said(server),
	})
}

func said(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

// getValue asks for a record in every way the library has: `told` is the server's own answer, `best` what GetValue makes
// of the answers, `searched` each better value that SearchValue came across.
func getValue(ctx context.Context, o *options) error {
	_, id, err := owner(o)
	if err != nil {
		return err
	}
	c, err := newClient(ctx, o)
	if err != nil {
		return err
	}
	defer c.close()
	key := valueKey(o, id)
	answer, closer, err := c.messenger.GetValue(ctx, c.server.ID, key)
	if err != nil {
		return err
	}
	var told *toldValue
	if answer != nil {
		told = &toldValue{hex.EncodeToString(answer.Key), hex.EncodeToString(answer.Value), answer.TimeReceived}
	}
	best, searched, err := c.search(ctx, key, o.quorum)
	if err != nil {
		return err
	}
	if err := c.messenger.Ping(ctx, c.server.ID); err != nil {
		return fmt.Errorf("the server does not echo the DHT's PING: %w", err)
	}
	return print(map[string]any{
		"event": "got", "told": told, "closer": infosOut(closer), "best": best, "searched": searched,
	})
}

// search runs both of the library's ways to find a value.
func (c *client) search(ctx context.Context, key string, quorum int) (best *string, searched []string, err error) {
	value, err := c.dht.GetValue(ctx, key, dht.Quorum(quorum))
	switch {
	case err == nil:
		text := hex.EncodeToString(value)
		best = &text
	case !errors.Is(err, routing.ErrNotFound):
		return nil, nil, err
	}
	found, err := c.dht.SearchValue(ctx, key, dht.Quorum(quorum))
	if err != nil {
		return nil, nil, err
	}
	searched = []string{}
	for value := range found {
		searched = append(searched, hex.EncodeToString(value))
	}
	return best, searched, ctx.Err()
}
