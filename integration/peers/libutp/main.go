// Command libutp makes and accepts uTP connections with libutp, the reference implementation,
// in the binding of github.com/anacrolix/go-libutp. It is a module of its own, so that seedbed
// depends neither on it nor on a C++ compiler.
//
//	libutp accept ADDR
//	libutp dial FROM ADDR PARALLEL COUNT SIZE echo|hash
//
// A connection begins with 9 bytes from the side that dials: what is asked for ('e' or 'h') and
// the number of bytes that follow (big endian). The other side sends back these bytes, or
// their SHA-256 once it has them all, and waits for the end of the stream.
//
// accept prints "ready". dial makes COUNT connections, PARALLEL at a time, and prints a JSON
// object with the number of those whose answer was right and wrong, the errors of others, and
// how long all of them took.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	utp "github.com/anacrolix/go-libutp"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) == 3 && os.Args[1] == "accept" {
		accept(os.Args[2])
		return
	}
	if len(os.Args) != 8 || os.Args[1] != "dial" {
		log.Fatal("usage: libutp accept ADDR | libutp dial FROM ADDR PARALLEL COUNT SIZE echo|hash")
	}
	d := dialer{to: os.Args[3], parallel: number(os.Args[4]), size: number(os.Args[6]), mode: os.Args[7][0]}
	s, err := utp.NewSocket("udp4", os.Args[2])
	check(err)
	d.socket = s
	check(json.NewEncoder(os.Stdout).Encode(d.run(number(os.Args[5]))))
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	check(err)
	return n
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func accept(addr string) {
	s, err := utp.NewSocket("udp4", addr)
	check(err)
	fmt.Println("ready")
	for {
		c, err := s.Accept()
		check(err)
		go func() {
			defer c.Close()
			if err := answer(c); err != nil {
				log.Print(err)
			}
		}()
	}
}

// answer does what the other side asks for.
func answer(c net.Conn) error {
	r := bufio.NewReaderSize(c, 64<<10)
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("the head: %w", err)
	}
	size := int64(binary.BigEndian.Uint64(head[1:]))
	if head[0] == 'h' {
		h := sha256.New()
		if _, err := io.CopyN(h, r, size); err != nil {
			return fmt.Errorf("to be hashed: %w", err)
		}
		if _, err := c.Write(h.Sum(nil)); err != nil {
			return fmt.Errorf("the hash: %w", err)
		}
	} else if _, err := io.CopyN(struct{ io.Writer }{c}, r, size); err != nil {
		return fmt.Errorf("the echo: %w", err)
	}
	_, err := io.Copy(io.Discard, r) // until the other side has closed
	if err != nil {
		return fmt.Errorf("the end of the stream: %w", err)
	}
	return nil
}

type dialer struct {
	socket   *utp.Socket
	to       string
	parallel int
	size     int
	mode     byte
}

type result struct {
	Right   int      `json:"right"`
	Wrong   int      `json:"wrong"`
	Errors  []string `json:"errors"`
	Seconds float64  `json:"seconds"`
}

func (d *dialer) run(count int) (r result) {
	begun := time.Now()
	next := make(chan int)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range d.parallel {
		wg.Go(func() {
			for i := range next {
				right, err := d.connection(i)
				mu.Lock()
				switch {
				case err != nil:
					r.Errors = append(r.Errors, err.Error())
				case right:
					r.Right++
				default:
					r.Wrong++
				}
				mu.Unlock()
			}
		})
	}
	for i := range count {
		next <- i
	}
	close(next)
	wg.Wait()
	r.Seconds = time.Since(begun).Seconds()
	return r
}

// connection makes connection i and reports whether the answer was right.
func (d *dialer) connection(i int) (bool, error) {
	c, err := d.dial()
	if err != nil {
		return false, fmt.Errorf("connection %d: %w", i, err)
	}
	defer c.Close()
	payload := make([]byte, 9+d.size)
	payload[0] = d.mode
	binary.BigEndian.PutUint64(payload[1:], uint64(d.size))
	rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), 'l'}).Read(payload[9:])
	want := payload[9:]
	if d.mode == 'h' {
		h := sha256.Sum256(want)
		want = h[:]
	}
	written := make(chan error, 1)
	go func() {
		_, err := c.Write(payload)
		written <- err
	}()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil {
		return false, fmt.Errorf("connection %d: byte %d of the answer: %w", i, n, err)
	}
	if err := <-written; err != nil {
		return false, fmt.Errorf("connection %d: %w", i, err)
	}
	return bytes.Equal(got, want), nil
}

// dial tries three times: libutp sends two SYNs, and both can be lost.
func (d *dialer) dial() (c net.Conn, err error) {
	for range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		c, err = d.socket.DialContext(ctx, "", d.to)
		cancel()
		if err == nil {
			return c, nil
		}
	}
	return nil, err
}
