package mutable

import (
	"encoding/binary"
	"math"
	"time"

	"seedbed/internal/id"
)

// Earlier is an earlier version, as the item of a later one names it.
type Earlier struct {
	Seq      int64
	InfoHash id.ID
	Time     time.Time // when it was signed, in whole seconds; the zero Time if that is not known
}

// maxHistory limits the entry "h" of a value, in bytes. BEP 44 allows 1,000 bytes for the whole
// value, and other entries need some of them.
const maxHistory = 600

// appendHistory encodes the entry "h" of a value: the version itself and, the newest first, as many of
// the earlier versions as fit into limit bytes. It is
//
//	uvarint  number of the version
//	uvarint  seconds since 1970 at which it was signed; 0 if that is not known
//	for each earlier version:
//	  uvarint  how much lower its number is than that of the version before it in this list
//	  uvarint  how many seconds earlier it was signed
//	  20 bytes infohash, as under "ih"
//
// An earlier version takes about 25 bytes.
func (v *Version) appendHistory(dst []byte, limit int) []byte {
	start := len(dst)
	seq, at := v.Seq, seconds(v.Signed)
	dst = binary.AppendUvarint(dst, uint64(seq))
	dst = binary.AppendUvarint(dst, uint64(at))
	for _, e := range v.Earlier {
		if e.Seq < 1 || e.Seq >= seq {
			continue
		}
		was := min(seconds(e.Time), at) // the clock may have been set back
		n := len(dst)
		dst = binary.AppendUvarint(dst, uint64(seq-e.Seq))
		dst = binary.AppendUvarint(dst, uint64(at-was))
		dst = append(dst, e.InfoHash[:]...)
		if len(dst)-start > limit {
			return dst[:n]
		}
		seq, at = e.Seq, was
	}
	return dst
}

// readHistory decodes the entry "h". What follows something invalid is ignored, because the history is
// not needed to download the version.
func (v *Version) readHistory(b []byte) {
	seq, n := binary.Uvarint(b)
	if n <= 0 || seq < 1 || seq > math.MaxInt64 {
		return
	}
	at, k := binary.Uvarint(b[n:])
	if k <= 0 || at > maxSeconds {
		return
	}
	v.Seq, v.Signed, b = int64(seq), timeOf(at), b[n+k:]
	for len(b) > 0 {
		less, n := binary.Uvarint(b)
		if n <= 0 || less == 0 || less >= seq {
			return
		}
		before, k := binary.Uvarint(b[n:])
		if k <= 0 || before > at || len(b) < n+k+id.Len {
			return
		}
		seq, at, b = seq-less, at-before, b[n+k:]
		v.Earlier = append(v.Earlier, Earlier{int64(seq), id.ID(b[:id.Len]), timeOf(at)})
		b = b[id.Len:]
	}
}

// maxSeconds is the latest time that is read, in Unix seconds: the end of the year 9999, up to which
// times have four digits.
const maxSeconds = 253402300799

func seconds(t time.Time) int64 { return min(max(t.Unix(), 0), maxSeconds) }

func timeOf(seconds uint64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}
