package daemon

import (
	"fmt"
	"slices"
	"strings"
)

// Labels are limited, since every list of torrents contains them.
const (
	maxLabels = 32
	maxLabel  = 128 // bytes
)

// cleanLabels returns labels without empty ones, duplicates and surrounding space, in their
// order.
func cleanLabels(labels []string) (clean []string, err error) {
	for _, l := range labels {
		l = strings.TrimSpace(l)
		if len(l) > maxLabel {
			return nil, usage(fmt.Errorf("a label has %d bytes", len(l)), fmt.Sprintf("at most %d are allowed", maxLabel))
		}
		if l != "" && !slices.Contains(clean, l) {
			clean = append(clean, l)
		}
	}
	if len(clean) > maxLabels {
		return nil, usage(fmt.Errorf("%d labels for one torrent", len(clean)), fmt.Sprintf("at most %d are allowed", maxLabels))
	}
	return clean, nil
}
