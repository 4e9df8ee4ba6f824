package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
	"seedbed/internal/simnet"
	"seedbed/node"
)

// line is the way of one node to a store, which can be cut.
type line struct {
	store *s3test.Store

	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		return nil, errors.New("no route to host")
	}
	c, err := l.store.Dial(ctx, network, address)
	if err == nil {
		l.conns = append(l.conns, c)
	}
	return c, err
}

func (l *line) setCut(isCut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = isCut
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

// attach gives a node the store at the end of the line.
func (l *line) attach(t testing.TB) func(*node.Config) {
	t.Helper()
	at := objectstore.Location{Bucket: s3test.Bucket, Prefix: "p/"}
	s, err := objectstore.Open(objectstore.Config{At: at, Endpoint: "http://store.test", Region: "us-east-1", Anonymous: true, Dial: l.dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return func(c *node.Config) { c.Objects = &node.Objects{Store: s} }
}

// isRefused reports whether an error says that another publisher has the lease.
func isRefused(err error, why string) bool {
	var f *node.Fault
	return errors.As(err, &f) && f.Kind == node.FaultConflict && strings.Contains(err.Error(), why)
}

// A publisher that was cut off while it wrote does not replace what another one has written since its lease ended.
func TestAPublisherThatWasCutOffDoesNotWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(9, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		cut, mustCut := &line{store: store}, atomic.Bool{}
		store.SetFault(func(r *http.Request) s3test.Fault {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, publicationsPrefix) && mustCut.CompareAndSwap(true, false) {
				cut.setCut(true)
				return s3test.Fault{Status: http.StatusServiceUnavailable}
			}
			return s3test.Fault{IgnoreMatch: true}
		})
		a, b := start(t, n, 1, nodetest.Boot(100), cut.attach(t)), start(t, n, 2, nodetest.Boot(101), inStore(store))
		dir := nodetest.Site(t, 2)
		pa, err := a.publishWith(dir)
		if err != nil {
			t.Fatal(err)
		}
		filetest.Write(t, filepath.Join(dir, "new"), []byte("new"))
		mustCut.Store(true)
		done := make(chan error, 1)
		go func() {
			_, err := pa.Update(t.Context())
			done <- err
		}()
		time.Sleep(2 * leaseTime)
		pb, err := b.publishWith(nodetest.Site(t, 3))
		if err != nil {
			t.Fatal(err)
		}
		cut.setCut(false)
		if err := <-done; !isRefused(err, "no conditional writes") {
			t.Error("the first publisher is not refused:", err)
		}
		r := sharedOf(t, store, pb)
		if v := newest(pb); len(r.Versions) != 2 || v.Seq != 2 || !bytes.Equal(r.Versions[1].Value, v.Value) {
			t.Errorf("version 2 of the second publisher is lost: %+v", r.Versions)
		}
	})
}

// A lease that cannot be renewed ends for its publisher before another one takes it, and is taken anew when the store is back.
func TestALeaseEndsUnlessItIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s3test.New(t)
		l := newLease(store.Open("p"), "a")
		defer l.close()
		if err := l.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if !l.isHeld() {
			t.Error("it ended although it was renewed")
		}
		store.SetDown(true)
		time.Sleep(leaseTime/2 - leaseSettle)
		if !l.isHeld() {
			t.Error("it ended at once")
		}
		time.Sleep(leaseTime / 2)
		if l.isHeld() {
			t.Error("it is still held although it was not renewed")
		}
		store.SetDown(false)
		time.Sleep(10 * time.Minute)
		if l.isHeld() {
			t.Error("it was renewed after its end")
		}
		began := time.Now()
		if err := l.take(t.Context()); err != nil || time.Since(began) < leaseSettle {
			t.Errorf("taken anew after %v: %v", time.Since(began), err)
		}
	})
}

// Without conditional writes, the record is read before each write.
func TestWithoutConditionsTheRecordIsReadFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(10, simnet.Link{}), s3test.New(t)
		store.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{IgnoreMatch: true} })
		a := start(t, n, 1, inStore(store))
		p, err := a.publishWith(nodetest.Site(t, 2))
		if err != nil {
			t.Fatal(err)
		}
		item, _ := signedForTest(t, testKey(0), 2)
		next := sharedOf(t, store, p).with(sharedVersion{Seq: 2, Value: item.Value, Sig: item.Sig[:], By: "b"})
		b, err := next.encode()
		if err != nil {
			t.Fatal(err)
		}
		store.Put("p/"+publicationsPrefix+p.target.String(), b)
		p.making.Lock()
		err = p.take(t.Context(), &Version{Seq: 2, Value: []byte("d1:ai1ee"), Sig: item.Sig[:]})
		p.making.Unlock()
		if got := sharedOf(t, store, p); !errors.Is(err, errOvertaken) || len(got.Versions) != 2 || got.Versions[1].By != "b" {
			t.Errorf("%v; in the store: %+v", err, got.Versions)
		}
	})
}

// A publisher that uses conditional writes is refused while another one has a lease, because that one does not use them.
func TestConditionsAreNotMixedWithALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(11, simnet.Link{}), s3test.New(t)
		a := start(t, n, 1, inStore(store))
		renew, stop := context.WithCancel(t.Context())
		go func() {
			for i := 0; renew.Err() == nil; i++ {
				store.Put("p/"+leaseName, fmt.Appendf(nil, `{"publisher":"b","count":%d}`, i))
				time.Sleep(renewEvery)
			}
		}()
		if _, err := a.publishWith(nodetest.Site(t, 2)); !isRefused(err, "has found no conditional writes") {
			t.Error("not refused:", err)
		}
		stop()
		time.Sleep(renewEvery)
		began := time.Now()
		if _, err := a.publishWith(nodetest.Site(t, 2)); err != nil || time.Since(began) < leaseTime {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if store.Get("p/"+leaseName) != nil {
			t.Error("the lease that has ended is still there")
		}
	})
}
