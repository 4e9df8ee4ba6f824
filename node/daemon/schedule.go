package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Schedule is a span of the day on some days of the week, in local time. A change to or from
// summer time moves neither end. The zero value is no schedule.
type Schedule struct {
	Days     uint8 // 1<<time.Weekday: the days on which it begins
	From, To int   // minutes since midnight; To is on the next day if it is not later than From
}

// IsSet reports whether there is a schedule.
func (s Schedule) IsSet() bool { return s.Days != 0 }

// IsActive reports whether a time is in the schedule.
func (s Schedule) IsActive(at time.Time) bool {
	minute := at.Hour()*60 + at.Minute()
	today := s.Days&(1<<at.Weekday()) != 0
	if s.From < s.To {
		return today && s.From <= minute && minute < s.To
	}
	yesterday := s.Days&(1<<((at.Weekday()+6)%7)) != 0
	return today && minute >= s.From || yesterday && minute < s.To
}

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

const (
	everyDay  = 1<<7 - 1
	daily     = "daily"
	dayLength = 24 * 60 // minutes
)

// String returns the schedule as ParseSchedule reads it.
func (s Schedule) String() string {
	if !s.IsSet() {
		return ""
	}
	days := daily
	if s.Days != everyDay {
		var names []string
		for _, d := range []int{1, 2, 3, 4, 5, 6, 0} {
			if s.Days&(1<<d) != 0 {
				names = append(names, dayNames[d])
			}
		}
		days = strings.Join(names, ",")
	}
	return fmt.Sprintf("%s %02d:%02d-%02d:%02d", days, s.From/60, s.From%60, s.To/60, s.To%60)
}

// ParseSchedule parses a schedule such as "daily 23:00-07:00" or "mon-fri,sun 08:00-17:30". An
// empty text is no schedule.
func ParseSchedule(text string) (s Schedule, err error) {
	if text == "" {
		return s, nil
	}
	days, span, ok := strings.Cut(strings.ToLower(strings.TrimSpace(text)), " ")
	from, to, isSpan := strings.Cut(strings.TrimSpace(span), "-")
	wrong := fmt.Errorf("%q is not a schedule such as \"daily 23:00-07:00\" or \"mon-fri 08:00-17:30\"", text)
	if !ok || !isSpan {
		return s, wrong
	}
	if s.Days, err = parseDays(days); err != nil {
		return Schedule{}, wrong
	}
	if s.From, err = parseMinute(from); err == nil {
		s.To, err = parseMinute(to)
	}
	if err != nil || s.From == dayLength {
		return Schedule{}, wrong
	}
	s.To %= dayLength // 24:00 is the beginning of the next day
	return s, nil
}

func parseDays(text string) (days uint8, err error) {
	if text == daily {
		return everyDay, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, b := slices.Index(dayNames, first), slices.Index(dayNames, last)
		if a < 0 || b < 0 {
			return 0, errors.New("not a day")
		}
		for d := a; ; d = (d + 1) % 7 {
			if days |= 1 << d; d == b {
				break
			}
		}
	}
	return days, nil
}

// parseMinute parses HH:MM, up to 24:00, into minutes.
func parseMinute(text string) (int, error) {
	if text == "24:00" {
		return dayLength, nil
	}
	t, err := time.Parse("15:04", text)
	return t.Hour()*60 + t.Minute(), err
}

// scheduleValue is a flag for a Schedule.
type scheduleValue struct{ to *Schedule }

func (v scheduleValue) Type() string   { return "WHEN" }
func (v scheduleValue) String() string { return v.to.String() }

func (v scheduleValue) Set(text string) error {
	s, err := ParseSchedule(text)
	if err == nil {
		*v.to = s
	}
	return err
}

// runSchedule switches the alternative limits on and off when their schedule begins and ends, until
// the node ends. A client may switch them in between; that holds until the schedule next begins or
// ends. The clock is read every minute, in case it was set or the machine was suspended.
func (d *Daemon) runSchedule() {
	var was Schedule
	var wasOn bool
	for {
		s, changed := d.settingsChanged()
		now := time.Now()
		var next <-chan time.Time
		if s.AltSchedule.IsSet() {
			on := s.AltSchedule.IsActive(now.Local())
			if s.AltSchedule != was || on != wasOn {
				d.switchLimits(on)
			}
			wasOn = on
			next = time.After(now.Truncate(time.Minute).Add(time.Minute).Sub(now))
		}
		was = s.AltSchedule
		select {
		case <-changed:
		case <-next:
		case <-d.node.Context().Done():
			return
		}
	}
}

// switchLimits switches the alternative limits for the schedule. This is not saved, because the
// schedule decides again after a restart.
func (d *Daemon) switchLimits(on bool) {
	c := &d.control
	c.mu.Lock()
	defer c.mu.Unlock()
	next := *c.now.Load()
	if next.AltLimits == on {
		return
	}
	next.AltLimits, next.replaced = on, make(chan struct{})
	d.warn("the alternative limits were not switched", d.enforce(&next))
}
