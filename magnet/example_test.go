package magnet_test

import (
	"fmt"

	"seedbed/magnet"
)

func ExampleParse() {
	l, err := magnet.Parse("magnet:?xt=urn:btih:YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK&dn=Some+name&x.pe=[2001:db8::1]:6881&so=0,2-4,3")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.InfoHash)
	fmt.Println(l.Name, l.Peers, l.Select)
	fmt.Println(l)

	_, err = magnet.Parse("magnet:?xt=urn:btih:c12fe1c06bba254a")
	fmt.Println(err)
	// Output:
	// c12fe1c06bba254a9dc9f519b335aa7c1367a88a
	// Some name [[2001:db8::1]:6881] [{0 0} {2 4}]
	// magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a&dn=Some%20name&x.pe=[2001:db8::1]:6881&so=0,2-4
	// magnet link: "xt=urn:btih:c12fe1c06bba254a" has 16 characters instead of 40 hexadecimal or 32 base32 digits after urn:btih:
}
