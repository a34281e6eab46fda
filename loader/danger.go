package loader

import (
	"strings"
)

// A danger is what a global does to whoever loads the file that names it. It
// explains a finding and sets its severity; that the global is a finding at all
// is decided by the closed list of package pickle.
type danger struct {
	does     string // completes "loading the file ..."
	severity Severity
}

// unknownCode is every global outside the closed list that dangers does not
// list.
var unknownCode = danger{"imports code that no tensor needs, and may run it", SeverityHigh}

// dangers lists modules and functions by what they do. The longest dotted
// prefix of a global counts.
var dangers = func() map[string]danger {
	m := make(map[string]danger)
	for _, d := range []struct{ does, names string }{
		{"runs a command of the operating system", `
			os.system os.popen os.startfile os.exec os.execl os.execle os.execlp os.execlpe os.execv os.execve os.execvp os.execvpe
			os.spawnl os.spawnle os.spawnlp os.spawnlpe os.spawnv os.spawnve os.spawnvp os.spawnvpe os.posix_spawn os.posix_spawnp os.fork os.kill
			posix nt os subprocess _posixsubprocess _winapi commands popen2 pty platform.popen
			asyncio.subprocess asyncio.unix_events asyncio.create_subprocess_shell asyncio.create_subprocess_exec
			distutils.spawn distutils.command setuptools multiprocessing.util.spawnv_passfds test.support.script_helper
			uuid._get_command_stdout _aix_support _osx_support imaplib.IMAP4_stream webbrowser pydoc.pipepager pydoc.tempfilepager
			ensurepip venv pip antigravity ctypes.util torch.utils.collect_env torch.utils.bottleneck torch.utils.cpp_extension
			torch._inductor.codecache`},
		{"runs Python code that the file brings along", `
			builtins.eval builtins.exec builtins.execfile builtins.compile builtins.__import__ builtins.input builtins.breakpoint
			importlib imp runpy code codeop pkgutil zipimport types.FunctionType types.CodeType types.LambdaType marshal ctypes _ctypes cffi
			cProfile profile trace bdb pdb timeit doctest idlelib lib2to3 pydoc _pyrepl site sitecustomize unittest test.support
			numpy.f2py numpy.testing numpy.distutils numpy.__builtins__ numpy.load_library
			torch.jit torch._dynamo torch._inductor torch.fx torch.package torch.ops torch.utils._config_module
			torch.utils.data.datapipes sympy pandas.eval pandas.core.computation`},
		{"loads another pickle or module, which may run anything", `
			pickle _pickle cPickle dill cloudpickle joblib shelve copyreg.__reduce_ex__ multiprocessing.reduction
			torch.load torch.serialization.load torch.hub torch.storage._load_from_bytes numpy.load numpy.lib.npyio numpy.lib.format pandas.read_pickle
			pandas.io.pickle yaml sklearn.externals.joblib transformers.pipelines`},
		{"connects to the network", `
			socket _socket ssl socketserver urllib urllib2 urllib3 http httplib httplib2 requests aiohttp httpx ftplib smtplib poplib imaplib
			nntplib telnetlib xmlrpc paramiko wget asyncio`},
		{"opens, changes or deletes files", `
			builtins.open builtins.file io _io codecs.open shutil pathlib tempfile distutils.file_util distutils.dir_util zipfile tarfile
			os.remove os.unlink os.rename os.replace os.rmdir os.removedirs os.mkdir os.makedirs os.chmod os.chown os.link os.symlink os.open os.truncate
			linecache fileinput logging numpy.save numpy.savetxt numpy.fromfile numpy.memmap numpy.loadtxt torch.save sqlite3 mmap`},
		{"looks up functions by name or chains calls, which hides what is run", `
			builtins.getattr builtins.setattr builtins.delattr builtins.apply builtins.map builtins.filter builtins.reduce builtins.vars builtins.globals builtins.locals
			builtins.dir builtins.type builtins.super builtins.object builtins.property builtins.staticmethod builtins.classmethod
			operator _operator functools _functools itertools types weakref atexit threading _thread signal sched concurrent
			inspect gc copyreg contextlib copy string random.choice torch.utils.data`},
		{"reaches into Python's own tables or a security scanner, as one does to blind it", `
			sys fickling picklescan modelscan modelaudit torch._weights_only_unpickler torch.serialization.add_safe_globals warnings faulthandler`},
	} {
		for _, n := range strings.Fields(d.names) {
			if _, twice := m[n]; !twice {
				m[n] = danger{d.does, SeverityCritical}
			}
		}
	}
	return m
}()

// dangerOf explains a global. A reader of protocol 4 splits its name at dots
// and walks attributes, so that "torch" and "serialization.os.system" is
// os.system: each part is looked at as the start of a module, too.
func dangerOf(module, name string) danger {
	if module == "__builtin__" {
		module = "builtins"
	}
	parts := strings.Split(module+"."+name, ".")
	if len(parts) > maxDotted {
		parts = parts[:maxDotted]
	}
	for from := range parts {
		if from > 0 && from < strings.Count(module, ".")+1 {
			continue // "a.b" of the module torch.a.b is torch's own
		}
		for to := len(parts); to > from; to-- {
			if d, ok := dangers[strings.Join(parts[from:to], ".")]; ok && (from == 0 || to < len(parts)) {
				return d
			}
		}
	}
	return unknownCode
}

// maxDotted caps the parts of a name that are looked at.
const maxDotted = 32
