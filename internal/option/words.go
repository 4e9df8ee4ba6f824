package option

import (
	"errors"
	"strings"
)

// A Command is a flag for a command line: a program and its arguments.
type Command struct{ Words []string }

// Type implements pflag.Value.
func (c *Command) Type() string { return "CMD" }

// String implements pflag.Value.
func (c *Command) String() string {
	var quoted []string
	for _, w := range c.Words {
		if w == "" || strings.ContainsAny(w, " \t\n'\"\\") {
			w = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(w) + `"`
		}
		quoted = append(quoted, w)
	}
	return strings.Join(quoted, " ")
}

// Set implements pflag.Value.
func (c *Command) Set(v string) error {
	words, err := SplitWords(v)
	if err == nil && len(words) == 0 {
		err = errors.New("the command is empty")
	}
	if err == nil {
		c.Words = words
	}
	return err
}

// SplitWords splits a command line into words at blanks, without a shell. Only quotes and
// backslashes are special. Inside single quotes every character is literal; elsewhere a
// backslash escapes a following blank, quote or backslash.
func SplitWords(line string) (words []string, err error) {
	var word strings.Builder
	in, quote := false, rune(0) // inside a word; inside these quotes
	runes := []rune(line)
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		switch {
		case quote == '\'' && r != '\'':
			word.WriteRune(r)
		case r == '\\' && quote != '\'' && i+1 < len(runes) && strings.ContainsRune(" \t\n'\"\\", runes[i+1]):
			i++
			word.WriteRune(runes[i])
			in = true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == ' ' || r == '\t' || r == '\n':
			if in {
				words = append(words, word.String())
				word.Reset()
			}
			in = false
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}
