package node

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
)

// resolver resolves test names. For silent.example there is never an answer, flaky.example
// fails every other time, and names that are not in known do not exist.
func resolver(known map[string]netip.Addr) func(*Config) {
	return func(c *Config) {
		flaky := false
		c.resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			switch host {
			case "silent.example":
				<-ctx.Done()
				return nil, ctx.Err()
			case "flaky.example":
				if flaky = !flaky; flaky {
					return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
				}
			}
			if a, ok := known[host]; ok {
				return []netip.Addr{a}, nil
			}
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
	}
}

// Dead bootstrap hosts and failing DNS do not delay the opening of a link.
func TestDeadBootstrapHostsAndBadDNSDelayNothing(t *testing.T) {
	open := func(t *testing.T, dead bool) (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(3, simnet.Link{Delay: 20 * ms})
			ring(t, n, 4)
			spec, _ := folder(t, ShareOptions{}, small)
			a := start(t, n, 1, boot(100))
			wait(t, a.add(spec).Announced(), time.Minute, "the seed is announced")
			b := start(t, n, 2, resolver(nil), func(c *Config) {
				if dead {
					c.Bootstrap = []string{"silent.example:6881", "broken.example:6881", at(999).String(), at(998).String()}
				}
			}, boot(101))
			began := time.Now()
			wait(t, b.add(Spec{Link: bare(spec), Dir: t.TempDir()}).Done(), time.Minute, "the download")
			took = time.Since(began)
		})
		return took
	}
	alone, among := open(t, false), open(t, true)
	if among > alone+50*ms {
		t.Errorf("%v with dead hosts, %v without", among, alone)
	}
}

// A magnet that is added before any node answers is opened when the DHT becomes available.
func TestADHTThatComesUpLaterIsUsedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(4, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{}, small)
		b := start(t, n, 2, boot(100))
		got := b.add(Spec{Link: bare(spec), Dir: t.TempDir()})
		time.Sleep(20 * time.Minute)
		start(t, n, 100)
		a := start(t, n, 1, boot(100))
		wait(t, a.add(spec).Announced(), time.Minute, "the seed is announced")
		wait(t, got.Done(), 6*time.Minute, "the download")
	})
}
