package settings

import "seedbed/node/names"

// resolver is a flag for names.Config.Resolver.
type resolver struct{ to *string }

// Type implements pflag.Value.
func (r *resolver) Type() string { return "SERVER" }

// String implements pflag.Value.
func (r *resolver) String() string { return *r.to }

// Set implements pflag.Value.
func (r *resolver) Set(v string) error {
	if err := names.CheckResolver(v); err != nil {
		return err
	}
	*r.to = v
	return nil
}
