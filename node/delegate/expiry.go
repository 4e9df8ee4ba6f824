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

// CheckExpiry returns a fault of kind node.FaultPermission if a statement has expired, or expires within
// 14 days, and whether it has expired. It returns nil otherwise.
func CheckExpiry(expiry, now time.Time) (has bool, err error) {
	left, at := expiry.Sub(now), expiry.UTC().Format("2006-01-02 15:04 MST")
	switch {
	case left <= 0:
		return true, node.NewFault(node.FaultPermission, fmt.Errorf("the delegation has expired at %s", at), AskOwner)
	case left < renewalNotice:
		return false, node.NewFault(node.FaultPermission, fmt.Errorf("the delegation expires at %s", at), AskOwner)
	}
	return false, nil
}
