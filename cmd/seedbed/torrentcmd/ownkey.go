package torrentcmd

import (
	"errors"
	"os"

	"seedbed/cmd/seedbed/argument"
	"seedbed/node/publish"
)

// ofKey returns the link of the publication that was published under the key of this machine with that
// name. Links, domains and files of that name take precedence. is is false if arg names no such key.
func ofKey(state, arg string) (link string, is bool, err error) {
	if argument.IsLink(arg) || argument.IsURL(arg) || argument.IsName(arg) {
		return "", false, nil
	}
	if _, err := os.Lstat(arg); err == nil {
		return "", false, nil
	}
	list, _ := publish.List(state) // damaged records concern other commands
	i, err := publish.Find(list, arg)
	if errors.Is(err, publish.ErrUnknown) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	return list[i].Link, true, nil
}
