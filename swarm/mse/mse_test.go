package mse

import (
	"bytes"
	"crypto/rand"
	"crypto/rc4"
	"crypto/sha1"
	"errors"
	"io"
	mrand "math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	theirs "github.com/anacrolix/torrent/mse"

	"seedbed/internal/id"
)

var infohash = id.ID(bytes.Repeat([]byte{7}, 20))

// find finds only this infohash.
func find(ih id.ID) func([sha1.Size]byte) (id.ID, bool) {
	return func(h [sha1.Size]byte) (id.ID, bool) { return ih, h == KeyHash(ih) }
}

// preferPlain chooses Plain if both sides allow it.
func preferPlain(allowed Methods) func(Methods) Methods {
	return func(offered Methods) Methods {
		if both := offered & allowed; both&Plain != 0 {
			return Plain
		} else {
			return both
		}
	}
}

func pipe(t testing.TB) (a, b net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{a, b} {
		c.SetDeadline(time.Now().Add(time.Minute))
		t.Cleanup(func() { c.Close() })
	}
	return a, b
}

// exchange sends data in each direction and compares what arrives.
func exchange(t *testing.T, a, b io.ReadWriter) {
	t.Helper()
	for _, n := range []int{1, 68, 100_000} {
		for _, way := range [][2]io.ReadWriter{{a, b}, {b, a}} {
			sent := make([]byte, n)
			rand.Read(sent)
			var writing sync.WaitGroup
			writing.Go(func() { way[0].Write(slices.Clone(sent)) })
			got := make([]byte, n)
			_, err := io.ReadFull(way[1], got)
			if writing.Wait(); err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("%d bytes: %v", n, err)
			}
		}
	}
}

func TestHandshake(t *testing.T) {
	for _, c := range []struct{ provide, allow, method Methods }{
		{Plain | RC4, Plain | RC4, Plain},
		{RC4, Plain | RC4, RC4},
		{Plain | RC4, RC4, RC4},
		{Plain, RC4, 0},
		{RC4, Plain, 0},
	} {
		a, b := pipe(t)
		type end struct {
			Result
			err error
		}
		received := make(chan end, 1)
		go func() {
			first := make([]byte, 20) // the accepting side reads this much to recognise the kind of handshake
			io.ReadFull(b, first)
			r, err := Receive(b, first, find(infohash), preferPlain(c.allow), rand.Reader)
			if err != nil {
				b.Close()
			}
			received <- end{r, err}
		}()
		mine, err := Initiate(a, infohash, c.provide, []byte("hello"), rand.Reader)
		other := <-received
		if c.method == 0 {
			var e *Error
			if err == nil || !errors.As(other.err, &e) {
				t.Errorf("%+v: %v, %v", c, err, other.err)
			}
			continue
		}
		if err != nil || other.err != nil || mine.Method != c.method || other.Method != c.method || other.Key != infohash || string(other.Early) != "hello" {
			t.Fatalf("%+v: %+v, %v and %+v, %v", c, mine, err, other.Result, other.err)
		}
		ca, cb := mine.Wrap(a), other.Wrap(b)
		if (mine.Stream != nil) != (c.method == RC4) {
			t.Errorf("%+v: encrypted %v", c, mine.Stream != nil)
		}
		if early := make([]byte, 5); true {
			if _, err := io.ReadFull(cb, early); err != nil || string(early) != "hello" {
				t.Fatalf("%q, %v", early, err)
			}
		}
		exchange(t, ca, cb)
	}
}

// The other side is anacrolix/torrent, in both directions.
func TestAgainstAnotherImplementation(t *testing.T) {
	t.Run("dialled", func(t *testing.T) {
		a, b := pipe(t)
		done := make(chan io.ReadWriter, 1)
		go func() {
			rw, _, err := theirs.ReceiveHandshake(t.Context(), b, func(f func([]byte) bool) { f(infohash[:]) },
				func(theirs.CryptoMethod) theirs.CryptoMethod { return theirs.CryptoMethodRC4 })
			if err != nil {
				t.Error(err)
			}
			done <- rw
		}()
		r, err := Initiate(a, infohash, Plain|RC4, []byte("hello"), rand.Reader)
		if err != nil || r.Method != RC4 {
			t.Fatal(r, err)
		}
		rw := <-done
		early := make([]byte, 5)
		if _, err := io.ReadFull(rw, early); err != nil || string(early) != "hello" {
			t.Fatal(err)
		}
		exchange(t, r.Wrap(a), rw)
	})
	t.Run("accepted", func(t *testing.T) {
		a, b := pipe(t)
		done := make(chan io.ReadWriter, 1)
		go func() {
			rw, _, err := theirs.InitiateHandshake(a, infohash[:], []byte("hello"), theirs.AllSupportedCrypto)
			if err != nil {
				t.Error(err)
			}
			done <- rw
		}()
		r, err := Receive(b, nil, find(infohash), preferPlain(RC4), rand.Reader)
		if err != nil || string(r.Early) != "hello" {
			t.Fatal(r, err)
		}
		c := r.Wrap(b)
		if early := make([]byte, 5); true {
			if _, err := io.ReadFull(c, early); err != nil || string(early) != "hello" {
				t.Fatalf("%q, %v", early, err)
			}
		}
		exchange(t, c, <-done)
	})
}

func TestReceiveRejectsInvalidHandshakes(t *testing.T) {
	for name, write := range map[string]func(w io.Writer){
		"the key 1":                  func(w io.Writer) { w.Write(append(make([]byte, 95), 1)) },
		"the key 0":                  func(w io.Writer) { w.Write(make([]byte, 96)) },
		"the key equal to the prime": func(w io.Writer) { w.Write(prime.Bytes()) },
		"endless padding":            func(w io.Writer) { w.Write(bytes.Repeat([]byte{9}, 96+maxPad+20)) },
	} {
		a, b := pipe(t)
		go write(a)
		var e *Error
		if _, err := Receive(b, nil, find(infohash), preferPlain(RC4), rand.Reader); !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a, b := pipe(t)
	go Initiate(a, id.ID{1}, RC4, nil, rand.Reader)
	var e *Error
	if _, err := Receive(b, nil, find(infohash), preferPlain(RC4), rand.Reader); !errors.As(err, &e) {
		t.Errorf("an unknown torrent: %v", err)
	}
}

// endedConn is a connection whose remaining data is that of the Reader.
type endedConn struct {
	io.Reader
	io.Writer
}

// Whatever the peer sends, Receive returns an error or a known infohash.
func FuzzReceive(f *testing.F) {
	f.Add(bytes.Repeat([]byte{3}, 700), uint64(1))
	f.Fuzz(func(t *testing.T, sent []byte, seed uint64) {
		random := mrand.NewChaCha8([32]byte{byte(seed)})
		r, err := Receive(endedConn{bytes.NewReader(sent), io.Discard}, nil, find(infohash), preferPlain(Plain|RC4), random)
		if err == nil && r.Key != infohash {
			t.Fatal("an unknown key")
		}
	})
}

// FuzzReceiveEncrypted is like FuzzReceive, but the key exchange is valid, so that the
// encrypted part is read.
func FuzzReceiveEncrypted(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 'h', 'i'})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 2, 1})
	f.Fuzz(func(t *testing.T, message []byte) {
		var zeros [32]byte
		_, public, _ := newSecret(mrand.NewChaCha8(zeros)) // the receiver's, from the same stream
		mine, myKey, _ := newSecret(mrand.NewChaCha8([32]byte{1}))
		s, err := mine.shared(public)
		if err != nil {
			t.Fatal(err)
		}
		req1, key, req3 := hash([]byte("req1"), s), KeyHash(infohash), hash([]byte("req3"), s)
		for i := range key {
			key[i] ^= req3[i]
		}
		b := slices.Concat(myKey, req1[:], key[:])
		sealed := make([]byte, len(message))
		var c *rc4.Cipher = stream("keyA", s, infohash)
		c.XORKeyStream(sealed, message)
		r, err := Receive(endedConn{bytes.NewReader(append(b, sealed...)), io.Discard}, nil, find(infohash), preferPlain(Plain|RC4), mrand.NewChaCha8(zeros))
		if err == nil && len(r.Early) > len(message) {
			t.Fatal("more early data than was sent")
		}
	})
}
