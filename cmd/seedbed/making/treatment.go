package making

import (
	"slices"

	"seedbed/internal/option"
	"seedbed/swarm/create"
)

// treatmentFlag is a flag for a create.Treatment: one of several words; the first is the
// default.
type treatmentFlag struct {
	option.Word
	to      *create.Treatment
	allowed []create.Treatment
}

var treatments = map[create.Treatment]string{create.Keep: "keep", create.Skip: "skip", create.Refuse: "refuse", create.Again: "again"}

func newTreatmentFlag(to *create.Treatment, allowed []create.Treatment) *treatmentFlag {
	f := &treatmentFlag{to: to, allowed: allowed}
	for _, t := range allowed {
		f.Words = append(f.Words, treatments[t])
	}
	f.Value = f.Words[0]
	return f
}

// Set implements pflag.Value.
func (f *treatmentFlag) Set(s string) error {
	if err := f.Word.Set(s); err != nil {
		return err
	}
	*f.to = f.allowed[slices.Index(f.Words, s)]
	return nil
}
