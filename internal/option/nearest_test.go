package option

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"get", "seed", "stream", "show", "check", "create", "key", "listen", "up-limit", "down-limit"}
	for wrong, want := range map[string]string{
		"gte": "get", "gett": "get", "seeed": "seed", "strem": "stream", "lsten": "listen", "listne": "listen",
		"uplimit": "up-limit", "down": "down-limit", "chekc": "check", "x": "", "nosuch": "", "download": "",
	} {
		if got := Nearest(wrong, words); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", wrong, got, want)
		}
	}
}
