package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
)

// inSandbox tries what a scan may not do: in-sandbox FILE ADDRESS says for
// each whether it could.
func inSandbox() {
	f := scanFlags{sandbox: sandboxRequire}
	if err := f.confine(); err != nil {
		fmt.Println("no sandbox:", err)
		return
	}
	could := func(what string, err error) { fmt.Println(what, err == nil) }
	_, err := os.ReadFile(os.Args[1])
	could("read", err)
	could("write", os.WriteFile(os.Args[1], nil, 0o600))
	could("create", os.WriteFile(os.Args[1]+".new", nil, 0o600))
	could("remove", os.Remove(os.Args[1]))
	could("start", exec.Command("true").Run())
	conn, err := net.Dial("tcp", os.Args[2])
	could("connect", err)
	if err == nil {
		conn.Close()
	}
}
