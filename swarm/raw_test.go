package swarm

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"seedbed/internal/id"
	"seedbed/swarm/wire"
)

// The raw peer is a minimal seed in a process of its own, so that only the other end is
// measured. Its content is a cycle of random bytes: no files, no hashing.

const (
	rawEnv   = "SWARM_RAW_SEED" // "pieces pieceLength infohash": run as raw seed
	cycleLen = 64 << 20
)

func cycle() []byte {
	b := make([]byte, cycleLen)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func runRawSeed(arg string) {
	var size, pieceLength int
	var hash string
	if _, err := fmt.Sscan(arg, &size, &pieceLength, &hash); err != nil {
		panic(err)
	}
	ih, err := id.ParseHex(hash)
	if err != nil {
		panic(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	data := cycle()
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = serveRaw(c, data, size, pieceLength, ih)
			}()
		}
	}()
	io.Copy(io.Discard, os.Stdin)
}

// serveRaw speaks the protocol with a leecher, or streams everything at once to a client
// that requests torrent zero.
func serveRaw(c net.Conn, data []byte, size, pieceLength int, ih id.ID) error {
	r := bufio.NewReaderSize(c, 256<<10)
	var h [wire.HandshakeLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return err
	}
	_, theirs, _, err := wire.ParseHandshake(h[:])
	if err != nil {
		return err
	}
	if theirs.IsZero() {
		for off := 0; off < size; off += 1 << 20 {
			if _, err := c.Write(data[off%cycleLen:][:1<<20]); err != nil {
				return err
			}
		}
		return nil
	}
	pieces := (size + pieceLength - 1) / pieceLength
	field := make([]byte, (pieces+7)/8)
	for i := range pieces {
		field[i/8] |= 0x80 >> (i % 8)
	}
	hello := wire.AppendHandshake(nil, wire.Reserved{}, ih, id.ID{'R', 'A', 'W'})
	hello = wire.Append(hello, wire.Msg{Type: wire.Bitfield, Payload: field})
	hello = wire.Append(hello, wire.Msg{Type: wire.Unchoke})
	if _, err := c.Write(hello); err != nil {
		return err
	}
	var out, vec net.Buffers
	headers := make([]byte, 0, 512*wire.PieceHeaderLen)
	for {
		if r.Buffered() < 17 || len(out) >= 1000 {
			vec = out
			if _, err := vec.WriteTo(c); err != nil {
				return err
			}
			out, headers = out[:0], headers[:0]
		}
		var m [17]byte
		if _, err := io.ReadFull(r, m[:4]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(m[:])
		if n != 13 {
			if _, err := r.Discard(int(n)); err != nil {
				return err
			}
			continue
		}
		if _, err := io.ReadFull(r, m[4:]); err != nil {
			return err
		}
		if wire.Type(m[4]) != wire.Request {
			continue
		}
		piece, begin, length := binary.BigEndian.Uint32(m[5:]), binary.BigEndian.Uint32(m[9:]), int(binary.BigEndian.Uint32(m[13:]))
		k := len(headers)
		headers = wire.AppendPieceHeader(headers, piece, begin, length)
		off := (int(piece)*pieceLength + int(begin)) % cycleLen
		out = append(out, headers[k:], data[off:off+length])
	}
}

// startRaw starts a raw seed and returns its port.
func startRaw(tb testing.TB, size, pieceLength int64, ih id.ID) int {
	tb.Helper()
	exe, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), rawEnv+"="+fmt.Sprint(size, pieceLength, ih))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	port, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		tb.Fatal(err)
	}
	return port
}
