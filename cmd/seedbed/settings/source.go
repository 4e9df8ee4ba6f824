package settings

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"seedbed/node"
)

// envPrefix is the prefix of environment variables: --no-dht is SEEDBED_NO_DHT.
const envPrefix = "SEEDBED_"

// EnvName returns the environment variable for a flag.
func EnvName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// A Source is the origin of a value, in rising precedence.
type Source uint8

const (
	FromDefault Source = iota
	FromFile
	FromChange // it was changed while a node ran
	FromEnv
	FromFlag
)

// String names the source for a person.
func (s Source) String() string {
	return [...]string{"default", "settings file", "changed while running", "environment", "command line"}[s]
}

// Sources are the sources of flag values besides the command line.
type Sources struct {
	File    *File
	Changed map[string]string // as node.ChangedSettings returns them
}

// SetEnv sets the flags that are in the environment but not on the command line. Lists take
// several values, separated by spaces or commas.
func SetEnv(fs *pflag.FlagSet) error {
	return set(fs, func(f *pflag.Flag) ([]string, string) {
		name := EnvName(f.Name)
		v := os.Getenv(name)
		if v == "" {
			return nil, ""
		}
		values := []string{v}
		if _, ok := f.Value.(pflag.SliceValue); ok {
			values = strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' })
		}
		return values, "environment variable " + name
	}, FromEnv)
}

// Set sets the flags that are neither on the command line nor in the environment, from
// changes made while a node ran and from the settings file.
func (s *Sources) Set(fs *pflag.FlagSet, command string) error {
	err := set(fs, func(f *pflag.Flag) ([]string, string) {
		setting := find(f.Name)
		v, ok := s.Changed[f.Name]
		if !ok || f.Annotations[annotation] == nil || !setting.Live {
			return nil, ""
		}
		return []string{v}, "changed setting " + f.Name
	}, FromChange)
	if err != nil || s.File == nil {
		return err
	}
	return set(fs, func(f *pflag.Flag) ([]string, string) {
		from := fmt.Sprintf("%s: %s", s.File.Path, f.Name)
		if v, ok := s.File.commands[command][f.Name]; ok {
			return v, from
		}
		if f.Annotations[annotation] != nil {
			return s.File.top[f.Name], from
		}
		return nil, ""
	}, FromFile)
}

// SetState sets the state directory as Set does, so that the state can be read.
func (s *Sources) SetState(fs *pflag.FlagSet, command string) error {
	f := fs.Lookup("state")
	if f == nil || f.Changed || s.File == nil {
		return nil
	}
	v := s.File.commands[command]["state"]
	if v == nil {
		v = s.File.top["state"]
	}
	return setFlag(f, v, s.File.Path+": state", FromFile)
}

// sourceOf is the annotation with the source of a flag's value.
const sourceOf = "seedbed_source"

// SourceOf returns the source of a flag's value.
func SourceOf(f *pflag.Flag) Source {
	if a := f.Annotations[sourceOf]; a != nil {
		return Source(a[0][0])
	}
	if f.Changed {
		return FromFlag
	}
	return FromDefault
}

// set sets the flags that have no value yet to the values that look returns.
func set(fs *pflag.FlagSet, look func(*pflag.Flag) (values []string, from string), source Source) (err error) {
	fs.VisitAll(func(f *pflag.Flag) {
		if err != nil || f.Changed {
			return
		}
		if values, from := look(f); values != nil {
			err = setFlag(f, values, from, source)
		}
	})
	return err
}

func setFlag(f *pflag.Flag, values []string, from string, source Source) error {
	if values == nil {
		return nil
	}
	list, isList := f.Value.(pflag.SliceValue)
	if !isList && len(values) != 1 {
		return &ValueError{from, fmt.Errorf("it takes one value, not %d", len(values))}
	}
	var err error
	if isList {
		err = list.Replace(values)
	} else {
		err = f.Value.Set(values[0])
	}
	if err != nil {
		return &ValueError{from, err}
	}
	f.Changed = true
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[sourceOf] = []string{string(rune(source))}
	return nil
}

// A ValueError reports an invalid value in the environment or the settings file.
type ValueError struct {
	From string
	Err  error
}

func (e *ValueError) Error() string { return fmt.Sprintf("%s: %v", e.From, e.Err) }
func (e *ValueError) Unwrap() error { return e.Err }

// Reread returns the settings that a new start with the same command line would have; fs are
// the flags of the running command.
func (s *Sources) Reread(fs *pflag.FlagSet, command string) (node.Settings, error) {
	v := NewValues()
	fresh := pflag.NewFlagSet(command, pflag.ContinueOnError)
	v.AddAll(fresh)
	err := set(fresh, func(f *pflag.Flag) ([]string, string) {
		was := fs.Lookup(f.Name)
		if was == nil || SourceOf(was) != FromFlag {
			return nil, ""
		}
		if list, ok := was.Value.(pflag.SliceValue); ok {
			return list.GetSlice(), "--" + f.Name
		}
		return []string{was.Value.String()}, "--" + f.Name
	}, FromFlag)
	if err == nil {
		err = SetEnv(fresh)
	}
	if err == nil {
		err = s.Set(fresh, command)
	}
	if err != nil {
		return node.Settings{}, err
	}
	cfg, err := v.Node()
	return cfg.Settings, err
}
