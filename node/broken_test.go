package node

import (
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/internal/simnet"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// giveMetadata is a peer that offers only the metadata.
func giveMetadata(nc net.Conn, ih id.ID, raw []byte) error {
	defer nc.Close()
	if _, err := io.ReadFull(nc, make([]byte, wire.HandshakeLen)); err != nil {
		return err
	}
	var r wire.Reserved
	r.SetExtended()
	out := wire.AppendHandshake(nil, r, ih, id.ID{9})
	hello := wire.AppendExtHandshake(nil, wire.ExtHandshake{UtMetadata: 3, MetadataSize: int64(len(raw))})
	out = wire.Append(out, wire.Msg{Type: wire.Extended, Payload: hello})
	if _, err := nc.Write(out); err != nil {
		return err
	}
	for {
		var head [4]byte
		if _, err := io.ReadFull(nc, head[:]); err != nil {
			return err
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(nc, frame); err != nil {
			return err
		}
		m, err := wire.Parse(frame)
		if err != nil {
			return err
		}
		if m.Type != wire.Extended || m.Ext != 3 {
			continue
		}
		answer := wire.AppendMetadata(nil, wire.MetadataMsg{Type: wire.MetadataData, TotalSize: int64(len(raw)), Data: raw})
		if _, err := nc.Write(wire.Append(nil, wire.Msg{Type: wire.Extended, Ext: wire.ExtMetadata, Payload: answer})); err != nil {
			return err
		}
	}
}

// Metadata that matches the infohash but is not a valid torrent ends the wait with an error.
func TestInvalidMetadataEndsTheTorrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(23, simnet.Link{Delay: 20 * ms})
		raw := []byte("d4:name6:../etc12:piece lengthi16384e6:pieces0:e")
		ih := id.ID(sha1.Sum(raw))
		l, err := n.Host(addr(1)).Listen(DefaultPort)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			if c, err := l.Accept(t.Context()); err == nil {
				_ = giveMetadata(c, ih, raw) // it ends with the connection
			}
		}()
		b := start(t, n, 2, noDHT)
		got := b.add(Spec{Link: &magnet.Link{InfoHash: ih, HasInfoHash: true, Peers: []string{at(1).String()}}, Dir: t.TempDir()})
		e := b.await(Failed, time.Minute)
		var me *metainfo.Error
		if !errors.As(e.Err, &me) || !strings.HasPrefix(e.Err.Error(), "cannot open the torrent of the link") {
			t.Errorf("%v", e.Err)
		}
		wait(t, got.Ended(), time.Minute, "the torrent ends")
		if b.lookup(ih) != nil {
			t.Error("the torrent is still in the node")
		}
		time.Sleep(time.Second) // for the peer to notice that we left
	})
}

// An invalid configuration gives a one-line error, and Open leaves nothing behind.
func TestOpenFailsCleanly(t *testing.T) {
	dir := t.TempDir()
	for want, c := range map[string]Config{
		"no state directory":        {},
		"listen address":            {State: dir, Listen: "6881"},
		"bootstrap address":         {State: dir, Bootstrap: []string{"router"}},
		"too small":                 {State: dir, Memory: 1},
		"must each be 1 or more":    {State: dir, Settings: Settings{MaxConns: -1}},
		"state directory cannot be": {State: "/dev/null/state"},
		"no Conns":                  {State: dir, Bootstrap: []string{}, Network: noUDP{}},
	} {
		n, err := Open(c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if n != nil {
			t.Errorf("%q gave a node", want)
		}
	}
	// The state directory was released.
	st, err := openState(dir)
	if err != nil || !st.owned() {
		t.Errorf("still locked: %v", err)
	}
	_ = st.close()
}

// noUDP is a network without UDP.
type noUDP struct{ netx.Network }

func (noUDP) UDP() []*netx.Socket { return nil }
func (noUDP) Port() uint16        { return DefaultPort }
func (noUDP) Close() error        { return nil }
