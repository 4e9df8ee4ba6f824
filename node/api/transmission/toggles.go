package transmission

import (
	"sync"
	"time"

	"seedbed/node/daemon"
)

// A toggle is a setting that the protocol splits into a value and a switch. In daemon.Settings it is
// one number, which is 0 if it is off.
type toggle struct {
	value, enabled string
	kind           kind
	unit           float64 // of the value, in units of the setting
	byDefault      float64 // the value to show if it was never set
	get            func(*daemon.Settings) float64
	set            func(*daemon.Settings, float64)
}

var toggles = []toggle{
	{"speed_limit_down", "speed_limit_down_enabled", kindInteger, kilo, defaultLimit,
		func(s *daemon.Settings) float64 { return float64(s.DownRate) }, func(s *daemon.Settings, v float64) { s.DownRate = int64(v) }},
	{"speed_limit_up", "speed_limit_up_enabled", kindInteger, kilo, defaultLimit,
		func(s *daemon.Settings) float64 { return float64(s.UpRate) }, func(s *daemon.Settings, v float64) { s.UpRate = int64(v) }},
	{"seed_ratio_limit", "seed_ratio_limited", kindDouble, 1, defaultRatio,
		func(s *daemon.Settings) float64 { return s.SeedRatio }, func(s *daemon.Settings, v float64) { s.SeedRatio = v }},
	{"idle_seeding_limit", "idle_seeding_limit_enabled", kindInteger, float64(time.Minute), defaultIdle.Minutes(),
		func(s *daemon.Settings) float64 { return float64(s.SeedIdle) }, func(s *daemon.Settings, v float64) { s.SeedIdle = time.Duration(v) }},
	{"download_queue_size", "download_queue_enabled", kindInteger, 1, 5,
		func(s *daemon.Settings) float64 { return float64(s.Queue.Downloads) }, func(s *daemon.Settings, v float64) { s.Queue.Downloads = int(v) }},
	{"seed_queue_size", "seed_queue_enabled", kindInteger, 1, 10,
		func(s *daemon.Settings) float64 { return float64(s.Queue.Seeds) }, func(s *daemon.Settings, v float64) { s.Queue.Seeds = int(v) }},
	{"queue_stalled_minutes", "queue_stalled_enabled", kindInteger, float64(time.Minute), 30,
		func(s *daemon.Settings) float64 { return float64(s.Queue.Stalled) }, func(s *daemon.Settings, v float64) { s.Queue.Stalled = time.Duration(v) }},
}

// lasts remembers the values of toggles that are off, because clients may switch them on without a
// value.
type lasts struct {
	mu sync.Mutex
	of map[string]float64
}

func (l *lasts) note(name string, v float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = map[string]float64{}
	}
	l.of[name] = v
}

func (l *lasts) value(name string) (v float64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, ok = l.of[name]
	return v, ok
}

// shown returns the value of a toggle: that in force, or the last one if it is off.
func (x *toggle) shown(s *daemon.Settings, l *lasts) float64 {
	if v := x.get(s); v > 0 {
		return v / x.unit
	}
	if v, ok := l.value(x.value); ok {
		return v
	}
	return x.byDefault
}

// apply changes the setting as the parameters say. A value of 0 would switch it off here, so it
// becomes the smallest one.
func (x *toggle) apply(s *daemon.Settings, p params, l *lasts) {
	now := x.get(s)
	l.note(x.value, x.shown(s, l))
	v, given := p.double(x.value)
	if given {
		l.note(x.value, v)
	} else {
		v, _ = l.value(x.value)
	}
	isOn, said := p.boolean(x.enabled)
	if !said {
		isOn = now > 0
	}
	switch {
	case !isOn:
		x.set(s, 0)
	case given || now == 0:
		x.set(s, min(max(v*x.unit, 1), 1<<62)) // what an int64 holds
	}
}

func init() {
	for i := range toggles {
		x := &toggles[i]
		sessionDefine(x.value, x.kind, func(w *writer, r *request) {
			s := r.Settings()
			if v := x.shown(&s, &r.lasts); x.kind == kindInteger {
				w.integer(int64(v + 0.999)) // rounded up: 0 would mean no limit
			} else {
				w.double(v)
			}
		})
		sessionBoolean(x.enabled, func(r *request) bool { s := r.Settings(); return x.get(&s) > 0 })
	}
}
