package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/btu-scan/btu-scan/policy"
	"github.com/btu-scan/btu-scan/scan/report"
)

// envPrefix begins the names of the variables that stand for flags of the scan.
const envPrefix = "BTU_SCAN_"

// envName is the variable that stands for a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// The places that a value can come from, beside variables and files.
const (
	fromFlag    = "flag"
	fromDefault = "default"
)

// configure completes the flags of a scan: what the command line leaves out
// comes from the environment, and what that leaves out from the configuration.
func (a *app) configure(flags *pflag.FlagSet, f *scanFlags, targets ...string) error {
	f.gate.sources = map[string]string{}
	for _, name := range []string{"config", "no-config"} { // they say what else is read
		if err := a.complete(flags, f, name); err != nil {
			return err
		}
	}
	a.strangeVariables(flags)
	if err := a.findConfig(f, targets); err != nil {
		return err
	}
	var err error
	flags.VisitAll(func(flag *pflag.Flag) {
		if err == nil && flag.Name != "help" && !flag.Hidden && f.gate.sources[flag.Name] == "" {
			err = a.complete(flags, f, flag.Name)
		}
	})
	if err != nil {
		return err
	}
	if f.gate.found != nil {
		f.gate.severities = f.gate.found.Severities
	}
	return nil
}

// complete gives one flag its value from the first place that has one.
func (a *app) complete(flags *pflag.FlagSet, f *scanFlags, name string) error {
	flag := flags.Lookup(name)
	f.gate.sources[name] = fromDefault
	if flag.Changed {
		f.gate.sources[name] = fromFlag
		return nil
	}
	values, source := []string(nil), envName(name)
	if v := a.getenv(source); v != "" {
		values = []string{v}
		if flag.Value.Type() == "stringArray" {
			values = strings.FieldsFunc(v, func(r rune) bool { return r == '\n' || r == '\r' })
		}
	} else if s, ok := f.gate.setting(name); ok {
		values, source = s.Values, fmt.Sprintf("%s:%d", f.gate.found.Path, s.Line)
		if s.File {
			values = besides(f.gate.found.Path, values)
		}
	}
	for _, v := range values {
		// Value.Set leaves Changed as it is: a flag that the command line does not
		// hold contradicts none that it does.
		if err := flag.Value.Set(v); err != nil {
			return usagef("", "%s: %q: %v", source, v, err)
		}
	}
	if len(values) > 0 {
		f.gate.sources[name] = source
	}
	return nil
}

func (f *gateFlags) setting(flag string) (policy.Setting, bool) {
	if f.found == nil {
		return policy.Setting{}, false
	}
	return f.found.Setting(flag)
}

// besides makes relative paths those of files in the folder of another file.
func besides(file string, paths []string) (all []string) {
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			p = filepath.Join(filepath.Dir(file), p)
		}
		all = append(all, p)
	}
	return all
}

// strangeVariables warns of variables that look like a flag's and are not: a
// mistyped name must not pass for a setting.
func (a *app) strangeVariables(flags *pflag.FlagSet) {
	var known []string // without the prefix, which all names are alike in
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, strings.TrimPrefix(envName(f.Name), envPrefix))
		}
	})
	for _, entry := range a.environ {
		name, value, _ := strings.Cut(entry, "=")
		short, ok := strings.CutPrefix(name, envPrefix)
		if value == "" || !ok || strings.HasPrefix(short, "TEST_") || slices.Contains(known, short) {
			continue
		}
		fmt.Fprintf(a.stderr, "btu-scan: warning: %s is no variable of a scan\n", report.Plain(name))
		if near := policy.Nearest(short, known); near != "" {
			fmt.Fprintf(a.stderr, "btu-scan: hint: did you mean %s?\n", envPrefix+near)
		}
	}
}

// findConfig reads the configuration that the user trusts: the named one, or
// that of the working folder unless that folder came with a checkpoint.
func (a *app) findConfig(f *scanFlags, targets []string) error {
	path := f.gate.config
	switch {
	case f.gate.noConfig && f.gate.sources["config"] == fromFlag:
		return usagef("", "--config and --no-config contradict each other")
	case f.gate.noConfig:
		return nil
	case path == "":
		path = policy.FileName
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for _, target := range targets {
			if belongs(path, target) {
				if !sameFile(path, filepath.Join(folderOf(target), policy.FileName)) { // of which forTarget takes what is stricter
					f.gate.notes = append(f.gate.notes, path+" lies inside the checkpoint's folder, so it is ignored (--config "+path+" trusts it)")
				}
				return nil
			}
		}
	}
	c, err := readConfig(path)
	if err != nil {
		return err
	}
	f.gate.found = c
	return nil
}

// readConfig reads a configuration that the user trusts.
func readConfig(path string) (*policy.Config, error) {
	data, err := readSmall(path, policy.MaxConfig)
	if err != nil {
		return nil, usagef("btu-scan config init writes an example", "configuration: %v", err)
	}
	c, err := policy.Parse(path, data)
	var wrong *policy.Error
	if errors.As(err, &wrong) {
		return nil, usagef(wrong.Hint, "configuration: %v", err)
	}
	return c, err
}

// belongs reports whether a file lies in the folder of a checkpoint or below
// it, so that whoever made the checkpoint may have made the file. Where that
// cannot be told it does.
func belongs(file, target string) bool {
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return true
	}
	folder, err := os.Stat(folderOf(target))
	if err != nil {
		return false // nothing is scanned there
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	for {
		info, err := os.Stat(dir)
		if err != nil || os.SameFile(info, folder) {
			return true
		}
		up := filepath.Dir(dir)
		if up == dir {
			return false
		}
		dir = up
	}
}

// folderOf is the folder of a checkpoint.
func folderOf(target string) string {
	if info, err := os.Stat(target); err == nil && !info.IsDir() {
		return filepath.Dir(target)
	}
	return target
}

// forTarget returns the flags for one checkpoint: with the reference that the
// configuration pins it to, and stricter where a configuration in its own
// folder asks for that.
func (a *app) forTarget(f scanFlags, target string) scanFlags {
	if f.gate.sources == nil { // no configuration was asked for, as in the demo
		return f
	}
	f.gate.notes = slices.Clone(f.gate.notes)
	f.pinned(target)
	path := filepath.Join(folderOf(target), policy.FileName)
	if f.gate.noConfig || f.gate.config != "" {
		return f
	}
	data, err := readSmall(path, policy.MaxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return f
	}
	if f.gate.found != nil && sameFile(path, f.gate.found.Path) {
		return f
	}
	note := func(format string, args ...any) { f.gate.notes = append(f.gate.notes, fmt.Sprintf(format, args...)) }
	var c *policy.Config
	if err == nil {
		c, err = policy.Parse(path, data)
	}
	if err != nil {
		note("the configuration in the checkpoint's own folder is ignored: %v", err)
		return f
	}
	s := policy.Strictness{FailOn: f.failOn, Evidence: f.evidence, Require: f.gate.require, Severities: f.gate.severities}
	changes, ignored := c.Tighten(&s, func(flag string) bool {
		source := f.gate.sources[flag]
		return source == fromFlag || strings.HasPrefix(source, envPrefix)
	})
	f.gate.target = c
	f.failOn, f.evidence, f.gate.require, f.gate.severities = s.FailOn, s.Evidence, s.Require, s.Severities
	if len(changes) > 0 {
		note("%s is the checkpoint's own and makes the gate stricter: %s", path, strings.Join(changes, "; "))
	}
	if len(ignored) > 0 {
		note("%s is the checkpoint's own, so this of it has no effect: %s (--config %s trusts it)", path, strings.Join(ignored, ", "), path)
	}
	if len(changes)+len(ignored) == 0 {
		note("%s is the checkpoint's own and changes nothing", path)
	}
	return f
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// pinned applies the first pin that is for the checkpoint.
func (f *scanFlags) pinned(target string) {
	if f.gate.found == nil {
		return
	}
	for _, p := range f.gate.found.Pins {
		if !p.Matches(target) {
			continue
		}
		place := fmt.Sprintf("%s:%d", f.gate.found.Path, p.Line)
		fixed := func(flag string) bool {
			return f.gate.sources[flag] == fromFlag || strings.HasPrefix(f.gate.sources[flag], envPrefix)
		}
		if p.Model != "" {
			model := p.Model
			if strings.HasPrefix(model, ".") {
				model = besides(f.gate.found.Path, []string{model})[0]
			}
			if fixed("reference") && f.ref != model && f.ref != p.Model {
				f.gate.notes = append(f.gate.notes, fmt.Sprintf("%s pins this checkpoint to %s, and the %s for --reference names another", place, p.Model, f.gate.sources["reference"]))
				return // the digest is of another model
			}
			f.ref, f.gate.sources = model, with(f.gate.sources, "reference", place)
		}
		if p.Lock != "" && !fixed("lock") {
			f.store.lock, f.gate.sources = besides(f.gate.found.Path, []string{p.Lock})[0], with(f.gate.sources, "lock", place)
		}
		f.gate.pin = p
		return
	}
}

// with is a copy of a map with one more value.
func with(m map[string]string, key, value string) map[string]string {
	c := map[string]string{key: value}
	for k, v := range m {
		if k != key {
			c[k] = v
		}
	}
	return c
}
