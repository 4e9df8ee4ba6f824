package torrentcmd

import (
	"errors"
	"os"

	"seedbed/cmd/seedbed/argument"
	"seedbed/node/publish"
)

// linkOfKey returns the link that was published under the key with that name in this state directory. Links, URLs,
// domains and existing files take precedence. found is false if there is no such key.
func linkOfKey(state, arg string) (link string, found bool, err error) {
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
