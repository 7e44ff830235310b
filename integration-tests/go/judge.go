package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"os"

	"github.com/ipfs/boxo/ipns"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/crypto"
)

// judge reads value records from stdin, one JSON object per line as `records` prints them, and prints each with the verdict
// of boxo or go-libp2p-record.
func judge(context.Context, *options) error {
	validator := record.NamespacedValidator{"pk": record.PublicKeyValidator{}, "ipns": ipns.Validator{}}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var given valueRecord
		if err := json.Unmarshal(lines.Bytes(), &given); err != nil {
			return err
		}
		key, err := hex.DecodeString(given.Key)
		if err != nil {
			return err
		}
		value, err := hex.DecodeString(given.Value)
		if err != nil {
			return err
		}
		given.Event, given.Worse = "value-record", []string{}
		given.Valid = validator.Validate(string(key), value) == nil
		if err := print(given); err != nil {
			return err
		}
	}
	return lines.Err()
}

// keys prints a private key of every kind in its protobuf form, which all implementations share.
func keys(context.Context, *options) error {
	for _, kind := range keyKinds {
		private, _, err := crypto.GenerateKeyPairWithReader(kind.kind, kind.bits, rand.Reader)
		if err != nil {
			return err
		}
		encoded, err := crypto.MarshalPrivateKey(private)
		if err != nil {
			return err
		}
		out := map[string]string{"event": "key", "kind": kind.name, "private_hex": hex.EncodeToString(encoded)}
		if err := print(out); err != nil {
			return err
		}
	}
	return nil
}
