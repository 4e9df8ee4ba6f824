package utp

import (
	"time"

	"seedbed/internal/mono"
)

const (
	// baseSteps is the number of steps of a delay history.
	baseSteps = 5
	// baseStep is the duration of a step. BEP 29 keeps the lowest delay of the last two
	// minutes; as libutp and libtorrent we keep more, because a queue that is never empty
	// for two minutes would become the base.
	baseStep = time.Minute
)

// A delayHistory keeps the lowest of the samples of the last minutes: the delay of an
// empty path. Samples are microseconds modulo 2^32 on two clocks that need not agree, so
// only their differences have a meaning.
type delayHistory struct {
	lowest [baseSteps]uint32 // the lowest sample of each step; the current one is lowest[0]
	base   uint32            // the lowest of them
	next   mono.Time         // end of the current step
	valid  bool              // there was a sample
}

// less compares two times of a clock that wraps.
func less(a, b uint32) bool { return int32(a-b) < 0 }

// add adds a sample.
func (h *delayHistory) add(now mono.Time, sample uint32) {
	if !h.valid {
		h.reset(now, sample)
		return
	}
	if now >= h.next {
		if now.Sub(h.next) > baseSteps*baseStep { // nothing was measured for so long
			h.reset(now, sample)
			return
		}
		for ; now >= h.next; h.next = h.next.Add(baseStep) {
			copy(h.lowest[1:], h.lowest[:baseSteps-1])
			h.lowest[0] = sample
		}
		h.base = sample
		for _, v := range h.lowest {
			if less(v, h.base) {
				h.base = v
			}
		}
		return
	}
	if less(sample, h.lowest[0]) {
		h.lowest[0] = sample
	}
	if less(sample, h.base) {
		h.base = sample
	}
}

func (h *delayHistory) reset(now mono.Time, sample uint32) {
	for i := range h.lowest {
		h.lowest[i] = sample
	}
	h.base, h.next, h.valid = sample, now.Add(baseStep), true
}

// shift raises all samples by d microseconds.
func (h *delayHistory) shift(d uint32) {
	for i := range h.lowest {
		h.lowest[i] += d
	}
	h.base += d
}

// over returns by how much a sample exceeds the base.
func (h *delayHistory) over(sample uint32) time.Duration {
	return time.Duration(max(0, int32(sample-h.base))) * time.Microsecond
}

// maxDrift is the largest change of a base delay in microseconds that counts as drift of
// the clocks. Clocks drift slowly; a larger change is a change of the path.
const maxDrift = 10_000

// A delays measures the queues of a path from the timestamps of both sides.
type delays struct {
	ours   delayHistory // of our packets, as the other side measures them
	theirs delayHistory // of their packets, as we measure them
	rtt    delayHistory // round trip times
	recent [3]uint32    // the last samples of ours
	index  uint8
	reply  uint32 // the last sample of theirs, for the next header; 0: none
}

// received measures a packet of the other side. When the base delay of their packets falls
// a little, then our clock drifts against theirs, and the delay of our packets seems to
// grow at the same rate: the base delay follows.
func (d *delays) received(now mono.Time, timestamp uint32) {
	d.reply = micros(now) - timestamp
	before, valid := d.theirs.base, d.theirs.valid
	d.theirs.add(now, d.reply)
	if fell := before - d.theirs.base; valid && d.ours.valid && fell > 0 && fell < maxDrift {
		d.ours.shift(fell)
	}
	if d.reply == 0 {
		d.reply = 1 // 0 says that there is no sample
	}
}

// reported adds a delay of our packets that the other side reports. It returns by how much the
// delay of an empty path has become shorter.
func (d *delays) reported(now mono.Time, sample uint32) (fell time.Duration) {
	before := sample
	if d.ours.valid {
		before = d.ours.base
	} else {
		for i := range d.recent {
			d.recent[i] = sample
		}
	}
	d.ours.add(now, sample)
	d.recent[d.index] = sample
	d.index = (d.index + 1) % uint8(len(d.recent))
	return time.Duration(max(0, int32(before-d.ours.base))) * time.Microsecond
}

// queueing returns the time that our packets wait in queues, where rtt is the last round
// trip time. The other side reports the delay and may report anything, and its clock may
// jump. The wait cannot exceed the growth of the round trip time, so that is the limit.
func (d *delays) queueing(rtt time.Duration) time.Duration {
	if !d.ours.valid {
		return 0
	}
	lowest := d.recent[0]
	for _, v := range d.recent[1:] {
		if less(v, lowest) {
			lowest = v
		}
	}
	return min(d.ours.over(lowest), max(0, rtt-d.minRTT()))
}

// minRTT returns the shortest round trip time of the last minutes, or 0 if there is none.
func (d *delays) minRTT() time.Duration {
	return time.Duration(d.rtt.base) * time.Microsecond
}

// micros returns now as the timestamp of a header: microseconds modulo 2^32.
func micros(now mono.Time) uint32 { return uint32(now / 1000) }
