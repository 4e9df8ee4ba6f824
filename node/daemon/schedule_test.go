package daemon_test

import (
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"

	"seedbed/node/daemon"
)

func schedule(t *testing.T, text string) daemon.Schedule {
	t.Helper()
	s, err := daemon.ParseSchedule(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchedulesAreInLocalTime(t *testing.T) {
	at := func(place, text string) time.Time {
		t.Helper()
		l, err := time.LoadLocation(place)
		if err != nil {
			t.Fatal(err)
		}
		when, err := time.ParseInLocation("2006-01-02 15:04 MST", text, l)
		if err != nil {
			t.Fatal(err)
		}
		return when.In(l)
	}
	const berlin = "Europe/Berlin"
	for _, c := range []struct {
		schedule, place, at string
		want                bool
	}{
		{"mon-fri 08:00-17:30", berlin, "2026-11-30 08:00 CET", true}, // a Monday
		{"mon-fri 08:00-17:30", berlin, "2026-11-30 07:59 CET", false},
		{"mon-fri 08:00-17:30", berlin, "2026-11-30 17:30 CET", false},
		{"mon-fri 08:00-17:30", berlin, "2026-11-29 12:00 CET", false}, // a Sunday
		// Across midnight it belongs to the day on which it begins.
		{"fri 23:00-07:00", berlin, "2026-11-28 06:59 CET", true},
		{"fri 23:00-07:00", berlin, "2026-11-27 06:59 CET", false},
		{"fri 23:00-07:00", berlin, "2026-11-28 23:30 CET", false},
		{"sat 23:00-07:00", berlin, "2026-11-29 03:00 CET", true},
		{"daily 20:00-24:00", berlin, "2026-11-29 23:59 CET", true},
		{"daily 20:00-24:00", berlin, "2026-11-29 00:00 CET", false},
		{"daily 00:00-00:00", berlin, "2026-11-29 13:00 CET", true},
		// 02:00 to 03:00 does not exist on the first of these days, and exists twice on the other.
		{"daily 02:30-04:00", berlin, "2026-03-29 03:00 CEST", true},
		{"daily 01:00-02:30", berlin, "2026-03-29 03:00 CEST", false},
		{"daily 01:00-02:30", berlin, "2026-10-25 02:15 CEST", true},
		{"daily 01:00-02:30", berlin, "2026-10-25 02:15 CET", true},
		{"daily 01:00-02:30", berlin, "2026-10-25 02:45 CET", false},
	} {
		if got := schedule(t, c.schedule).IsActive(at(c.place, c.at)); got != c.want {
			t.Errorf("%s at %s: %v", c.schedule, c.at, got)
		}
	}
}

func TestSchedulesHaveATextForm(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "",
		"DAILY 23:00-7:00":     "daily 23:00-07:00",
		"mon-fri,sun 08:00-17": "error",
		"fri-mon 08:00-24:00":  "mon,fri,sat,sun 08:00-00:00",
		"sat-fri 08:00-09:00":  "daily 08:00-09:00",
		"mon 24:00-08:00":      "error", "mon": "error", "x 08:00-09:00": "error", "mon 8-9": "error", "mon 08:00": "error", "mon,, 08:00-09:00": "error",
	} {
		s, err := daemon.ParseSchedule(text)
		if want == "error" != (err != nil) || err == nil && s.String() != want {
			t.Errorf("%q: %q, %v", text, s, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := daemon.Schedule{Days: uint8(rapid.IntRange(1, 127).Draw(t, "days")), From: rapid.IntRange(0, 1439).Draw(t, "from"), To: rapid.IntRange(0, 1439).Draw(t, "to")}
		if got, err := daemon.ParseSchedule(s.String()); err != nil || got != s {
			t.Errorf("%v: %v, %v", s, got, err)
		}
	})
}

func FuzzParseSchedule(f *testing.F) {
	f.Add("mon-fri,sun 08:00-17:30")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := daemon.ParseSchedule(text)
		if err != nil {
			return
		}
		if again, err := daemon.ParseSchedule(s.String()); err != nil || again != s {
			t.Errorf("%q: %v, %v", text, again, err)
		}
	})
}

// The schedule switches the limits at its ends. What a client switches in between holds until the
// next end, also if the settings are read again.
func TestTheScheduleSwitchesTheAlternativeLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := simulated(t, t.TempDir(), daemon.QueueSettings{})
		defer closed(t, d)
		s := d.Settings()
		now := time.Now().Local()
		minute := now.Hour()*60 + now.Minute()
		s.UpRate, s.AltUpRate = 1000, 10
		s.AltSchedule = daemon.Schedule{Days: 127, From: (minute + 10) % 1440, To: (minute + 30) % 1440}
		if err := d.Reload(s); err != nil {
			t.Fatal(err)
		}
		check := func(when string, rate int64) {
			t.Helper()
			synctest.Wait()
			if got := d.Node().Settings().UpRate; got != rate {
				t.Errorf("%s: the limit is %d, not %d", when, got, rate)
			}
		}
		turn := func(on string) {
			t.Helper()
			if err := d.SetSettings(t.Context(), map[string][]string{"alt-limits": {on}}); err != nil {
				t.Fatal(err)
			}
		}
		check("at first", 1000)
		time.Sleep(5 * time.Minute)
		check("before it begins", 1000)
		time.Sleep(6 * time.Minute)
		check("when it has begun", 10)
		if err := d.Reload(s); err != nil {
			t.Fatal(err)
		}
		check("when the settings were read again", 10)
		turn("false")
		time.Sleep(5 * time.Minute)
		check("when a client has switched them off", 1000)
		time.Sleep(24 * time.Hour)
		check("the next day", 10)
		time.Sleep(15 * time.Minute)
		check("when it has ended", 1000)
		turn("true")
		time.Sleep(5 * time.Minute)
		check("when a client has switched them on", 10)
	})
}
