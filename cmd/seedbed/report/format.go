package report

import (
	"fmt"
	"time"
)

// Size formats n bytes with the unit that leaves one to four digits: "3.4 MB". Units are
// decimal, as for disks and networks.
func Size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n)/1000, "kMGTPE"
	for v >= 999.5 && len(units) > 1 {
		v /= 1000
		units = units[1:]
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f %cB", v, units[0])
	}
	return fmt.Sprintf("%.0f %cB", v, units[0])
}

// PieceLength formats a piece length in binary units, since it is a power of two.
func PieceLength(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

func Rate(perSecond float64) string { return Size(int64(perSecond)) + "/s" }

// TimeLeft formats the time left, to the second if under an hour, else to the minute. It
// returns "" if the time is unknown.
func TimeLeft(left int64, perSecond float64) string {
	if perSecond < 1 || left <= 0 {
		return ""
	}
	secs := float64(left) / perSecond
	if secs > (99 * 24 * time.Hour).Seconds() {
		return ""
	}
	d := time.Duration(secs * float64(time.Second))
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", int(d.Seconds()+0.999))
}

// Plural formats a count: "1 peer", "3 peers".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
