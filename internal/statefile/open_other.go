//go:build !unix

package statefile

// NonBlock is a flag for os.OpenFile; this system needs none.
const NonBlock = 0
