package report

import (
	"fmt"
	"strings"
	"time"

	"seedbed/internal/option"
)

// Size formats n bytes for a person: "3.4 MB".
func Size(n int64) string { return option.FormatSize(n) }

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

// Rate formats a rate in bytes per second: "3.4 MB/s".
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

// Plural formats a count: "1 peer", "3 peers", "3 infohashes".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "ry"); ok {
		return fmt.Sprintf("%d %sries", n, stem)
	}
	suffix := "s"
	if strings.HasSuffix(noun, "sh") {
		suffix = "es"
	}
	return fmt.Sprintf("%d %s%s", n, noun, suffix)
}
