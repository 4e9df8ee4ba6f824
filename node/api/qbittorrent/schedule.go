package qbittorrent

import (
	"net/http"
	"slices"

	"seedbed/node/daemon"
)

// defaultSchedule is the schedule of the alternative limits if none was ever set, as in
// qBittorrent: from 08:00 to 20:00, on all days.
var defaultSchedule = daemon.Schedule{Days: 1<<7 - 1, From: 8 * 60, To: 20 * 60}

// days are the days of daemon.Schedule for each value of scheduler_days: every day, weekdays, the
// weekend, and then each day from Monday to Sunday.
var days = []uint8{1<<7 - 1, 0b0111110, 0b1000001, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 0}

// shownSchedule returns the schedule in force, or the one before it was switched off.
func (h *handler) shownSchedule() daemon.Schedule {
	if s := h.Daemon.Settings().AltSchedule; s.IsSet() {
		return s
	}
	if last := h.schedule.Load(); last != nil {
		return *last
	}
	return defaultSchedule
}

// writeSchedule writes a schedule. Days for which the interface has no value are shown as every day.
func writeSchedule(o *object, s daemon.Schedule) {
	o.int("schedule_from_hour", int64(s.From/60))
	o.int("schedule_from_min", int64(s.From%60))
	o.int("schedule_to_hour", int64(s.To/60))
	o.int("schedule_to_min", int64(s.To%60))
	o.int("scheduler_days", int64(max(slices.Index(days, s.Days), 0)))
}

// A scheduleChange changes the schedule of the alternative limits.
type scheduleChange struct {
	Enabled  *bool `json:"scheduler_enabled"`
	FromHour *int  `json:"schedule_from_hour"`
	FromMin  *int  `json:"schedule_from_min"`
	ToHour   *int  `json:"schedule_to_hour"`
	ToMin    *int  `json:"schedule_to_min"`
	Days     *int  `json:"scheduler_days"`
}

// apply changes the settings. Clients may switch the schedule on without giving its times.
func (p *scheduleChange) apply(h *handler, set *daemon.Settings) error {
	if *p == (scheduleChange{}) {
		return nil
	}
	s := h.shownSchedule()
	from, err := minuteOf(s.From, p.FromHour, p.FromMin)
	if err != nil {
		return err
	}
	to, err := minuteOf(s.To, p.ToHour, p.ToMin)
	if err != nil {
		return err
	}
	s.From, s.To = from, to
	if p.Days != nil {
		if *p.Days < 0 || *p.Days >= len(days) {
			return fail(http.StatusBadRequest, "scheduler_days must be from 0 to %d", len(days)-1)
		}
		// What is shown as every day may be days for which the interface has no value.
		if *p.Days > 0 || slices.Contains(days, s.Days) {
			s.Days = days[*p.Days]
		}
	}
	h.schedule.Store(&s)
	isOn := set.AltSchedule.IsSet()
	if p.Enabled != nil {
		isOn = *p.Enabled
	}
	if set.AltSchedule = s; !isOn {
		set.AltSchedule = daemon.Schedule{}
	}
	return nil
}

// minuteOf returns a minute of the day with the hour and the minute that were given, if any.
func minuteOf(now int, hour, minute *int) (int, error) {
	h, m := now/60, now%60
	if hour != nil {
		h = *hour
	}
	if minute != nil {
		m = *minute
	}
	if h < 0 || h > 23 || m < 0 || m > 59 {
		return 0, fail(http.StatusBadRequest, "%d:%02d is not a time of the day", h, m)
	}
	return h*60 + m, nil
}
