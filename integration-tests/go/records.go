package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/ipfs/boxo/ipns"
	ipns_pb "github.com/ipfs/boxo/ipns/pb"
	"github.com/ipfs/boxo/path"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"
)

// valueRecord is a value record and what boxo or go-libp2p-record says of it.
type valueRecord struct {
	Event string `json:"event"`
	Name  string `json:"name"`
	Key   string `json:"key_hex"`
	Value string `json:"value_hex"`
	Valid bool   `json:"valid"`
	// Worse names the records of the same key that boxo selects this one over.
	Worse []string `json:"worse"`
}

type keyKind struct {
	name string
	kind int
	bits int
}

var keyKinds = []keyKind{
	{"ed25519", crypto.Ed25519, 0},
	{"secp256k1", crypto.Secp256k1, 0},
	{"ecdsa", crypto.ECDSA, 0},
	{"rsa-2048", crypto.RSA, 2048},
	{"rsa-4096", crypto.RSA, 4096},
}

// records prints value records of every kind of key, one per line, each judged by the libraries of kubo.
func records(_ context.Context, _ *options) error {
	for _, kind := range keyKinds {
		private, public, err := crypto.GenerateKeyPairWithReader(kind.kind, kind.bits, rand.Reader)
		if err != nil {
			return err
		}
		id, err := peer.IDFromPublicKey(public)
		if err != nil {
			return err
		}
		if err := printPublicKey(kind.name, public, id); err != nil {
			return err
		}
		if err := printIpns(kind.name, private, id); err != nil {
			return err
		}
	}
	return nil
}

func printPublicKey(kind string, public crypto.PubKey, id peer.ID) error {
	value, err := crypto.MarshalPublicKey(public)
	if err != nil {
		return err
	}
	key := "/pk/" + string(id)
	valid := record.PublicKeyValidator{}.Validate(key, value) == nil
	return print(valueRecord{"value-record", kind + " public key", hex.EncodeToString([]byte(key)), hex.EncodeToString(value), valid, []string{}})
}

type named struct {
	name  string
	value []byte
}

func printIpns(kind string, private crypto.PrivKey, id peer.ID) error {
	entries, err := entriesOf(private)
	if err != nil {
		return err
	}
	key := string(ipns.NameFromPeer(id).RoutingKey())
	validator := ipns.Validator{}
	for _, entry := range entries {
		out := valueRecord{"value-record", kind + " " + entry.name, hex.EncodeToString([]byte(key)), hex.EncodeToString(entry.value), validator.Validate(key, entry.value) == nil, []string{}}
		for _, other := range entries {
			// Where both have the same bytes, neither is worse.
			best, err := validator.Select(key, [][]byte{entry.value, other.value})
			if err == nil && best == 0 && !bytes.Equal(entry.value, other.value) {
				out.Worse = append(out.Worse, kind+" "+other.name)
			}
		}
		if err := print(out); err != nil {
			return err
		}
	}
	return nil
}

// entriesOf makes records that differ in sequence, end of life, legacy fields, metadata and damage.
func entriesOf(private crypto.PrivKey) ([]named, error) {
	value, err := path.NewPath("/ipfs/bafkqaddwgevxmmraojswg33smq")
	if err != nil {
		return nil, err
	}
	now := time.Now().Truncate(time.Second)
	var entries []named
	for _, sequence := range []uint64{0, 1, 24, 1 << 40} {
		for _, lifetime := range []time.Duration{-time.Hour, time.Hour, time.Hour + time.Nanosecond, 100 * 365 * 24 * time.Hour} {
			for _, legacy := range []bool{false, true} {
				made, err := ipns.NewRecord(private, value, sequence, now.Add(lifetime), 5*time.Minute, ipns.WithV1Compatibility(legacy))
				if err != nil {
					return nil, err
				}
				marshalled, err := ipns.MarshalRecord(made)
				if err != nil {
					return nil, err
				}
				entries = append(entries, named{fmt.Sprintf("sequence %d for %s, legacy %t", sequence, lifetime, legacy), marshalled})
			}
		}
	}
	extras := map[string]any{"_text": "a", "_number": int64(-7), "_bytes": []byte{1}, "_bool": true}
	with, err := ipns.NewRecord(private, value, 7, now.Add(time.Hour), 0, ipns.WithMetadata(extras), ipns.WithPublicKey(true))
	if err != nil {
		return nil, err
	}
	whole, err := ipns.MarshalRecord(with)
	if err != nil {
		return nil, err
	}
	entries = append(entries, named{"with metadata", whole})
	return damaged(entries, whole)
}

// damaged adds what the specification's test vectors are made of: each differs from a valid record in one field.
func damaged(entries []named, whole []byte) ([]named, error) {
	broken := []struct {
		name   string
		change func(*ipns_pb.IpnsRecord)
	}{
		{"V1 only", func(r *ipns_pb.IpnsRecord) { r.SignatureV2, r.Data = nil, nil }},
		{"without V2 signature", func(r *ipns_pb.IpnsRecord) { r.SignatureV2 = nil }},
		{"broken V1 value", func(r *ipns_pb.IpnsRecord) { r.Value = append(r.Value, 'x') }},
		{"broken V1 validity", func(r *ipns_pb.IpnsRecord) { r.Validity = append(r.Validity, 'x') }},
		{"broken V1 sequence", func(r *ipns_pb.IpnsRecord) { r.Sequence = proto.Uint64(8) }},
		{"broken V1 TTL", func(r *ipns_pb.IpnsRecord) { r.Ttl = proto.Uint64(8) }},
		{"broken V1 validity type", func(r *ipns_pb.IpnsRecord) { r.ValidityType = ipns_pb.IpnsRecord_ValidityType(1).Enum() }},
		{"broken V2 signature", func(r *ipns_pb.IpnsRecord) { r.SignatureV2[len(r.SignatureV2)/2] ^= 1 }},
		{"broken V1 signature", func(r *ipns_pb.IpnsRecord) { r.SignatureV1[len(r.SignatureV1)/2] ^= 1 }},
		{"broken data", func(r *ipns_pb.IpnsRecord) { r.Data[len(r.Data)-1] ^= 1 }},
		{"broken public key", func(r *ipns_pb.IpnsRecord) { r.PubKey[len(r.PubKey)-1] ^= 1 }},
		{"without V1 fields but its signature", func(r *ipns_pb.IpnsRecord) { r.Value, r.Validity, r.Sequence, r.Ttl = nil, nil, nil, nil }},
	}
	for _, b := range broken {
		var changed ipns_pb.IpnsRecord
		if err := proto.Unmarshal(whole, &changed); err != nil {
			return nil, err
		}
		b.change(&changed)
		marshalled, err := proto.Marshal(&changed)
		if err != nil {
			return nil, err
		}
		entries = append(entries, named{b.name, marshalled})
	}
	return entries, nil
}
