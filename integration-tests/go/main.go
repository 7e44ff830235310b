// A go-libp2p DHT client that hydra's integration tests drive from the command line.
//
// Every command prints one JSON object per line on stdout and its diagnostics on stderr. It exits with 0
// when it did what it was asked, with 1 when it could not, with 2 when the command line is wrong. It never
// runs longer than --deadline.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"
)

var errUsage = errors.New("wrong command line")

var commands = map[string]func(context.Context, *options) error{
	"provide":   provide,
	"find":      find,
	"find-node": findNode,
	"stream":    stream,
	"identify":  identifyPeer,
	"serve":     serve,
	"records":   records,
	"judge":     judge,
	"keys":      keys,
	"put-value": putValue,
	"get-value": getValue,
}

// options are the same for all commands; each command takes what it needs.
type options struct {
	peer      string
	cid       string
	target    string
	protocol  string
	transport string
	security  string
	deadline  time.Duration
	stay      bool
	follow    bool
	host      string
	autonat   bool
	owner     string
	publicKey bool
	sequence  uint64
	lifetime  time.Duration
	quorum    int
	also      string
}

func parse(args []string) (string, *options, error) {
	var o options
	flags := flag.NewFlagSet("go-client", flag.ContinueOnError)
	flags.StringVar(&o.peer, "peer", "", "the server to talk to: a multiaddr that ends in /p2p/<peer id>")
	flags.StringVar(&o.cid, "cid", "", "the content id to provide or to find")
	flags.StringVar(&o.target, "target", "", "the peer id to look for (find-node, stream)")
	flags.StringVar(&o.protocol, "protocol", "/ipfs/kad/1.0.0", "the protocol name of the DHT")
	flags.StringVar(&o.transport, "transport", "", "tcp or quic; by default what the address of --peer says")
	flags.StringVar(&o.security, "security", "", "tls or noise over TCP; by default both are offered")
	flags.DurationVar(&o.deadline, "deadline", 30*time.Second, "the longest time the program may run")
	flags.BoolVar(&o.stay, "stay", false, "provide: stay reachable until stdin is closed")
	flags.BoolVar(&o.follow, "follow", false, "dial the peers that --peer tells of, too")
	flags.StringVar(&o.host, "host", "127.0.0.1", "the IPv4 address to listen on")
	flags.BoolVar(&o.autonat, "autonat", false, "serve: test the addresses of others by AutoNAT v2")
	flags.StringVar(&o.also, "also", "", "a second server that the library knows")
	flags.StringVar(&o.owner, "owner", "", "put-value, get-value: the private key whose record it is, as protobuf in hex")
	flags.BoolVar(&o.publicKey, "public-key", false, "put-value, get-value: the public key of --owner, not its IPNS record")
	flags.Uint64Var(&o.sequence, "sequence", 0, "put-value: the sequence of the IPNS record")
	flags.DurationVar(&o.lifetime, "lifetime", time.Hour, "put-value: when the IPNS record ends, from now")
	flags.IntVar(&o.quorum, "quorum", 0, "get-value: how many values are enough; 0 asks everybody")
	if len(args) == 0 {
		return "", nil, fmt.Errorf("%w: no command, expected one of %s", errUsage, strings.Join(names(), ", "))
	}
	if _, known := commands[args[0]]; !known {
		return "", nil, fmt.Errorf("%w: unknown command %q, expected one of %s", errUsage, args[0], strings.Join(names(), ", "))
	}
	if err := flags.Parse(args[1:]); err != nil {
		return "", nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 {
		return "", nil, fmt.Errorf("%w: unexpected %q", errUsage, flags.Arg(0))
	}
	return args[0], &o, nil
}

func names() []string {
	out := make([]string, 0, len(commands))
	for name := range commands {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// print writes one event as one line. The reader is a test: a lost line has to end the program.
func print(event any) error {
	return json.NewEncoder(os.Stdout).Encode(event)
}

// untilStdinCloses keeps a server alive as long as its parent is: a dead parent's pipe reads as closed.
func untilStdinCloses(ctx context.Context) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	select {
	case <-closed:
	case <-ctx.Done():
	}
}

func main() {
	name, o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "go-client:", err)
		os.Exit(2)
	}
	// The context ends what listens to it; the timer ends the rest.
	ctx, cancel := context.WithTimeout(context.Background(), o.deadline)
	time.AfterFunc(o.deadline+2*time.Second, func() {
		fmt.Fprintln(os.Stderr, "go-client: still running after its deadline")
		os.Exit(1)
	})
	err = commands[name](ctx, o)
	cancel()
	if errors.Is(err, errUsage) {
		fmt.Fprintln(os.Stderr, "go-client:", err)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "go-client %s: %v\n", name, err)
		os.Exit(1)
	}
}
