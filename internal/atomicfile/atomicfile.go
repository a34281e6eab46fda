// Package atomicfile writes files whole or not at all.
package atomicfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write creates or replaces the file at path with data: readers see the old
// file or the new one, and a failure leaves nothing behind. A symlink at path
// stays one: what it points to is replaced. What is no regular file, such as a
// pipe or /dev/null, is written to.
func Write(path string, data []byte, perm os.FileMode) error {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return fmt.Errorf("%s is a folder", path)
		}
		return writeTo(path, os.O_WRONLY, data, perm)
	}
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()[:10])
	err := writeTo(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, data, perm)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		os.Remove(temp)
	}
	return err
}

func writeTo(path string, flag int, data []byte, perm os.FileMode) error {
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if flag&os.O_EXCL != 0 {
		err = errors.Join(err, f.Sync())
	}
	return errors.Join(err, f.Close())
}
