package making

import "seedbed/internal/option"

// webSeedFlag is a list of URLs, or the word none.
type webSeedFlag struct {
	option.List
	none *bool
}

// Set implements pflag.Value.
func (f *webSeedFlag) Set(s string) error {
	if s == "none" {
		*f.none = true
		return nil
	}
	return f.List.Set(s)
}

// Append implements pflag.SliceValue.
func (f *webSeedFlag) Append(s string) error {
	if s == "none" {
		*f.none = true
		return nil
	}
	return f.List.Append(s)
}
