package transmission

import "seedbed/node/daemon"

// defaultSchedule is the schedule of the alternative limits if none was ever set, as in
// Transmission: from 09:00 to 17:00, on all days.
var defaultSchedule = daemon.Schedule{Days: 1<<7 - 1, From: 9 * 60, To: 17 * 60}

// shownSchedule returns the schedule in force, or the one before it was switched off.
func (h *handler) shownSchedule() daemon.Schedule {
	if s := h.Settings().AltSchedule; s.IsSet() {
		return s
	}
	if last := h.schedule.Load(); last != nil {
		return *last
	}
	return defaultSchedule
}

// editSchedule changes the schedule. Clients may switch it on without giving its times.
func (r *request) editSchedule(s *daemon.Settings) {
	next := r.shownSchedule()
	for name, to := range map[string]*int{"alt_speed_time_begin": &next.From, "alt_speed_time_end": &next.To} {
		if v, ok := r.integer(name); ok && v >= 0 && v < 24*60 {
			*to = int(v)
		}
	}
	if days, ok := r.integer("alt_speed_time_day"); ok && days > 0 && days < 1<<7 {
		next.Days = uint8(days)
	}
	r.schedule.Store(&next)
	isOn, said := r.boolean("alt_speed_time_enabled")
	if !said {
		isOn = s.AltSchedule.IsSet()
	}
	if s.AltSchedule = next; !isOn {
		s.AltSchedule = daemon.Schedule{}
	}
}
