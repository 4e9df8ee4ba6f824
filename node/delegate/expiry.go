package delegate

import (
	"fmt"
	"time"

	"seedbed/node"
)

// renewalNotice is how long before the expiry of a statement those who publish are warned.
const renewalNotice = 14 * 24 * time.Hour

// AskOwner is the advice to those whose key does not publish, or not for much longer.
const AskOwner = "ask the owner of the publication for a new delegation file, and give it with --delegation"

// SignAgain is the advice to the owner.
const SignAgain = "sign a new statement with seedbed key delegate, and publish with its file"

// CheckExpiry returns an error of kind node.FaultPermission, with this advice, if a statement has expired or expires within
// 14 days, and reports whether it has expired.
func CheckExpiry(expiry, now time.Time, advice string) (expired bool, err error) {
	left, at := expiry.Sub(now), expiry.UTC().Format("2006-01-02 15:04 MST")
	switch {
	case left <= 0:
		return true, node.NewFault(node.FaultPermission, fmt.Errorf("the delegation expired at %s", at), advice)
	case left < renewalNotice:
		return false, node.NewFault(node.FaultPermission, fmt.Errorf("the delegation expires at %s", at), advice)
	}
	return false, nil
}
