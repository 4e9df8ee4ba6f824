//go:build unix

package statefile

import "syscall"

// NonBlock is a flag for os.OpenFile that makes opening a FIFO return at once. It changes
// nothing for regular files.
const NonBlock = syscall.O_NONBLOCK
