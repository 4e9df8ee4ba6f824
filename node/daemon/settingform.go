package daemon

import "seedbed/internal/option"

// A Group is a group of settings that belong together, as a form shows them.
type Group string

// The groups, in the order in which a form shows them.
const (
	GroupRates   Group = "rates"
	GroupPeers   Group = "peers"
	GroupSeeding Group = "seeding"
	GroupQueue   Group = "queue"
	GroupFolders Group = "folders"
	GroupAccess  Group = "access"
	GroupSources Group = "sources" // of new torrents: folders and feeds that are watched
	GroupHooks   Group = "hooks"
)

// A Form says which values a setting takes.
type Form struct {
	Type    string // size, number, ratio, duration, bool, word, list, schedule or text
	Unit    string // of a number without a unit; "": none
	Min     *float64
	Max     *float64
	Choices []string // of a word or of each element of a list; nil: any text
}

// Form returns which values the setting takes.
func (d *Setting) Form() Form {
	none := 0.0
	switch v := d.value(new(Settings)).(type) {
	case *option.Size:
		return Form{Type: "size", Unit: "bytes a second", Min: &none} // all sizes in Table are rates
	case *option.Number:
		f := Form{Type: "number"}
		least := float64(v.Min)
		f.Min = &least
		if v.Max > 0 {
			most := float64(v.Max)
			f.Max = &most
		}
		return f
	case *option.Ratio:
		most := float64(option.MaxRatio)
		return Form{Type: "ratio", Min: &none, Max: &most}
	case option.Span:
		return Form{Type: "duration", Min: &none}
	case *option.Bool:
		return Form{Type: "bool"}
	case interface{ Choices() []string }:
		return Form{Type: "word", Choices: v.Choices()}
	case *option.List:
		f := Form{Type: "list"}
		if d.Name == "interface" {
			f.Choices = interfaces
		}
		return f
	case scheduleValue:
		return Form{Type: "schedule"}
	}
	return Form{Type: "text"}
}
