package hostile

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/btu-scan/btu-scan/internal/torchtest"
	"github.com/btu-scan/btu-scan/internal/ziptest"
)

// Short names for the parts of pickles.
var (
	str    = torchtest.Unicode
	num    = torchtest.Int
	tup    = torchtest.Tuple
	ints   = torchtest.Ints
	glob   = torchtest.Global
	sglob  = torchtest.StackGlobal
	call   = torchtest.Call
	dict   = torchtest.Dict
	list   = torchtest.List
	stream = torchtest.Stream
)

type member = ziptest.Member

const bin = "pytorch_model.bin"

// inert is the call that payloads stand for: the command "true".
var inert = call("posix", "system", str("true"))

// weights is a state dict with one honest tensor, and extra pairs beside it.
func weights(extra ...string) string {
	return stream(dict(append([]string{str("wte.weight"), tensor(6, 0, ints(2, 3), ints(3, 1))}, extra...)...))
}

func tensor(numel, offset int64, size, stride string) string {
	return torchtest.Tensor(torchtest.Storage("FloatStorage", "0", numel), offset, size, stride)
}

var storage0 = member{Name: "m/data/0", Body: torchtest.Floats(6)}

// carried puts a payload into a file of one of three kinds, in turn: a bare
// pickle, a zip of torch.save, and a legacy file of torch.save.
func carried(i int, payload string) []byte {
	switch i % 3 {
	case 0:
		return []byte(stream(payload))
	case 1:
		return torchtest.Zip(weights(str("x"), payload), storage0)
	}
	return legacy(str("x"), payload)
}

// legacy is a legacy file with one honest tensor and extra pairs.
func legacy(extra ...string) []byte {
	t := torchtest.Tensor(torchtest.LegacyStorage("FloatStorage", "7", 6, "N"), 0, ints(2, 3), ints(3, 1))
	return torchtest.Legacy(stream(dict(append([]string{str("wte.weight"), t}, extra...)...)), stream(list(str("7"))), torchtest.Floats(6))
}

// calls are the ways a pickle reaches and calls what it should not.
func calls() []Case {
	k := class{name: "calls of opcodes"}
	for i, c := range []struct{ name, tests, body, rule string }{
		{"reduce", "GLOBAL and REDUCE, the plain way to call a function.", inert, unsafeGlobal},
		{"stack global", "STACK_GLOBAL takes module and name from the stack.", sglob("posix", "system") + tup(str("true")) + "R", unsafeGlobal},
		{"inst", "INST names and calls a class in one opcode.", "(" + str("true") + "iposix\nsystem\n", unsafeGlobal},
		{"obj", "OBJ calls what lies on the stack.", "(" + glob("posix", "system") + str("true") + "o", unsafeGlobal},
		{"newobj", "NEWOBJ calls __new__ of a class.", glob("subprocess", "Popen") + tup(str("true")) + "\x81", unsafeGlobal},
		{"newobj ex", "NEWOBJ_EX calls __new__ with keywords.", glob("subprocess", "Popen") + tup(str("true")) + "}\x92", unsafeGlobal},
		{"build setstate", "BUILD calls __setstate__ of an object, or writes its attributes.", glob("collections", "OrderedDict") + ")\x81" + glob("posix", "system") + "b" + inert, unsafeGlobal},
		{"build on a module's function", "BUILD writes attributes of a function that others call later.", glob("torch._utils", "_rebuild_tensor_v2") + dict(str("__code__"), "N") + "b", unsafeOpcode},
		{"ext1", "EXT1 takes a global from the registry of extensions.", "\x82\x01" + tup(str("true")) + "R", unsafeOpcode},
		{"ext2", "EXT2 takes a global from the registry of extensions.", "\x83\x01\x00" + tup(str("true")) + "R", unsafeOpcode},
		{"ext4", "EXT4 takes a global from the registry of extensions.", "\x84\x01\x00\x00\x00" + tup(str("true")) + "R", unsafeOpcode},
		{"obj and pop", "The result of OBJ is popped, so that the value looks plain.", "(" + glob("posix", "system") + str("true") + "o0N", unsafeGlobal},
		{"reduce and pop", "The result of REDUCE is popped.", inert + "0N", unsafeGlobal},
		{"pop mark", "The payload lies under a mark that is thrown away.", "(" + inert + "1N", unsafeGlobal},
		{"append method", "APPEND calls a method of an object that is no list.", call("collections", "deque") + str("x") + "a", unsafeGlobal},
		{"setitem method", "SETITEM calls __setitem__ of an object that is no dict.", call("shelve", "open", str("x")) + str("k") + str("v") + "s", unsafeGlobal},
		{"persistent id", "A persistent id that holds a payload.", tup(str("storage"), inert) + "Q", unsafeGlobal},
		{"memoized callable", "The callable is put into the memo and used later.", glob("posix", "system") + "q\x010N0h\x01" + tup(str("true")) + "R", unsafeGlobal},
		{"duplicated callable", "DUP copies the callable.", glob("posix", "system") + "20" + tup(str("true")) + "R", unsafeGlobal},
		{"arguments from a list", "REDUCE with arguments that are no tuple.", glob("posix", "system") + list(str("true")) + "R", unsafeGlobal},
		{"next buffer", "NEXT_BUFFER takes data that the stream does not hold.", "\x97", unsafeOpcode},
		{"left on the stack", "Values lie under the result, where a scanner of the result does not look.", inert + "N", unsafeGlobal},
	} {
		k.bad(c.name, c.tests, bin, carried(i, c.body), found, c.rule)
	}
	return k.cases
}

// names are the ways in which the name of a function is hidden, and the
// functions that a list of the usual ones leaves out.
func names() []Case {
	k := class{name: "hidden names"}
	sys := func(module, name string) string { return glob(module, name) + tup(str("true")) + "R" }
	for i, c := range []struct{ name, tests, body, rule string }{
		{"memo binput", "STACK_GLOBAL takes its module from the memo.", str("posix") + "q\x05" + "0" + "h\x05" + str("system") + "\x93" + tup(str("true")) + "R", unsafeGlobal},
		{"memo memoize", "STACK_GLOBAL takes its name from an entry of MEMOIZE.", str("system") + "\x940" + str("posix") + "h\x00\x93" + tup(str("true")) + "R", unsafeGlobal},
		{"memo put", "PUT and GET, whose index is text.", str("posix") + "p7\n0g7\n" + str("system") + "\x93" + tup(str("true")) + "R", unsafeGlobal},
		{"memo far away", "The names lie a thousand opcodes before their use.", str("posix") + "q\x05" + "0" + strings.Repeat("N0", 1000) + "h\x05" + str("system") + "\x93" + tup(str("true")) + "R", unsafeGlobal},
		{"memo overwritten", "A memo entry is written twice; only the second counts.", str("collections") + "q\x05" + "0" + str("posix") + "q\x05" + "0h\x05" + str("system") + "\x93" + tup(str("true")) + "R", unsafeGlobal},
		{"memo missing", "STACK_GLOBAL takes a name from a memo entry that does not exist.", "h\x63" + str("system") + "\x93" + tup(str("true")) + "R", ""},
		{"name is a number", "STACK_GLOBAL with a name that is no string.", str("posix") + "K\x01\x93" + tup(str("true")) + "R", unsafeOpcode},
		{"name is a tuple", "STACK_GLOBAL with a name that is a tuple.", str("posix") + ")\x93" + tup(str("true")) + "R", unsafeOpcode},
		{"name from a call", "STACK_GLOBAL with a name that a call returns.", str("posix") + call("_codecs", "encode", str("system"), str("latin1")) + "\x93" + tup(str("true")) + "R", unsafeOpcode},
		{"names as bytes", "STACK_GLOBAL with names as bytes.", "C\x05posixC\x06system\x93" + tup(str("true")) + "R", unsafeOpcode},
		{"dotted name", "Protocol 4 walks a dotted name from an allowed module.", sglob("torch", "os.system") + tup(str("true")) + "R", unsafeGlobal},
		{"dotted module", "A module whose attribute leads to another module.", glob("torch.serialization", "os.system") + tup(str("true")) + "R", unsafeGlobal},
		{"dotted behind an allowed name", "An allowed name with attributes behind it.", sglob("collections", "OrderedDict.__init__.__globals__") + tup(str("true")) + "R", unsafeGlobal},
		{"lines with blanks", "GLOBAL with a blank behind the module.", glob("posix ", "system") + tup(str("true")) + "R", unsafeGlobal},
		{"escaped string", "A name written as STRING with escapes.", "S'po\\x73ix'\nS'system'\n\x93" + tup(str("true")) + "R", unsafeOpcode},
		{"alias __builtin__", "Python 2's name of builtins.", sys("__builtin__", "eval"), unsafeGlobal},
		{"alias cPickle", "Python 2's name of pickle.", sys("cPickle", "loads"), unsafeGlobal},
		{"alias nt", "Windows' name of os.", sys("nt", "system"), unsafeGlobal},
		{"alias os", "os itself, which is posix.", sys("os", "system"), unsafeGlobal},
		{"alias httplib", "Python 2's name of http.client.", sys("httplib", "HTTPSConnection"), unsafeGlobal},
		{"alias commands", "Python 2's commands, which Python 3 maps to subprocess.", sys("commands", "getoutput"), unsafeGlobal},
	} {
		if c.rule == "" {
			k.bad(c.name, c.tests, bin, carried(i, c.body), either)
			continue
		}
		k.bad(c.name, c.tests, bin, carried(i, c.body), found, c.rule)
	}

	k2 := class{name: "chains of calls"}
	getattr := func(from, attr string) string { return call("builtins", "getattr", from, str(attr)) }
	for i, c := range []struct{ name, tests, body string }{
		{"getattr", "getattr reads an attribute of an imported module.", getattr(call("importlib", "import_module", str("os")), "getpid") + ")R"},
		{"attrgetter", "operator.attrgetter reads an attribute.", call("operator", "attrgetter", str("system")) + tup(glob("os", "path")) + "R"},
		{"methodcaller", "operator.methodcaller calls a method by its name.", call("operator", "methodcaller", str("getpid")) + tup(call("importlib", "import_module", str("os"))) + "R"},
		{"resolve_name", "pkgutil.resolve_name finds any function by a string.", call("pkgutil", "resolve_name", str("os:getpid")) + ")R"},
		{"numpy builtins", "numpy's __builtins__ leads to eval.", getattr(glob("numpy", "__builtins__"), "get") + tup(str("eval")) + "R"},
		{"assembled name", "The name is put together by str.join.", call("importlib", "import_module", glob("builtins", "str.join")+tup(str(""), list(str("o"), str("s")))+"R")},
		{"eval", "eval runs a text.", call("builtins", "eval", str("1+1"))},
		{"exec", "exec runs a text.", call("builtins", "exec", str("pass"))},
		{"compile", "compile makes code of a text.", call("builtins", "compile", str("pass"), str("x"), str("exec"))},
		{"map and apply", "map calls a function lazily, list makes it happen.", call("builtins", "list", call("builtins", "map", glob("posix", "system"), list(str("true"))))},
		{"partial", "functools.partial wraps a call.", call("functools", "partial", glob("torch", "load"), str("other.pt")) + ")R"},
		{"reduce function", "functools.reduce calls a function on a list.", call("functools", "reduce", glob("builtins", "getattr"), list(str("a"), str("b")))},
		{"computed magic", "The magic number of a legacy file is the result of a call.", call("builtins", "eval", str("0x1950a86a20f9469cfc6c"))},
		{"pickle loads", "A second pickle in bytes is loaded.", call("pickle", "loads", "C\x02N.")},
		{"torch load", "torch.load opens another file.", call("torch", "load", str("other.pt"))},
		{"joblib load", "joblib.load opens another file.", call("joblib", "load", str("other.joblib"))},
		{"dill loads", "dill loads what pickle cannot.", call("dill", "loads", "C\x02N.")},
		{"marshal loads", "marshal loads code.", call("marshal", "loads", "C\x01N")},
		{"sys modules", "A module is replaced for everything that is loaded later.", glob("sys", "modules") + str("torch._utils") + glob("posix", "system") + "s"},
		{"attribute of torch", "A function of torch is replaced by BUILD.", glob("torch", "_utils") + dict(str("_rebuild_tensor_v2"), glob("posix", "system")) + "b"},
		{"scanner off, fickling", "A scanner is switched off by loading its module.", call("fickling.hook", "remove_hook")},
		{"scanner off, picklescan", "A scanner's list is emptied.", glob("picklescan.scanner", "_unsafe_globals") + dict() + "b"},
		{"setattr", "setattr writes an attribute of a module.", call("builtins", "setattr", glob("sys", "flags"), str("x"), "N")},
	} {
		k2.bad(c.name, c.tests, bin, carried(i, c.body), found, unsafeGlobal)
	}

	k3 := class{name: "functions of Python's library"}
	for i, g := range strings.Fields(`runpy.run_path pty.spawn cProfile.run profile.run trace.Trace bdb.Bdb.run timeit.timeit doctest.debug_script
		code.interact idlelib.pyshell.ModifiedInterpreter.runcommand lib2to3.pgen2.grammar.Grammar.loads ensurepip._run_pip venv.create
		pip.main pydoc.pipepager uuid._get_command_stdout _aix_support._read_cmd_output _osx_support._read_output imaplib.IMAP4_stream
		distutils.file_util.write_file asyncio.unix_events._UnixSubprocessTransport._start ctypes.CDLL test.support.script_helper.assert_python_ok
		_pyrepl.pager.pipe_pager webbrowser.open shutil.rmtree socket.create_connection urllib.request.urlretrieve http.server.test
		zipimport.zipimporter.load_module multiprocessing.util.spawnv_passfds logging.config.listen smtplib.SMTP nturl2path.url2pathname`) {
		dot := strings.LastIndexByte(g, '.')
		module, name := g[:dot], g[dot+1:]
		k3.bad(g, fmt.Sprintf("%s runs or reaches what it is given, and is on few lists.", g), bin, carried(i, call(module, name, str("true"))), found, unsafeGlobal)
	}

	k4 := class{name: "functions of torch and numpy"}
	for i, g := range strings.Fields(`torch.utils.collect_env.run torch.utils.bottleneck.__main__.run_cprofile torch.utils.bottleneck.__main__.run_autograd_prof
		torch.jit.unsupported_tensor_ops.execWrapper torch._dynamo.guards.GuardBuilder.get torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression
		torch._inductor.codecache.compile_file torch.utils._config_module.ConfigModule.load_config
		torch.utils.data.datapipes.utils.decoder.basichandlers torch.hub.load torch.ops.load_library torch.utils.cpp_extension.load
		torch.distributed.rpc.api.rpc_sync torch.serialization.load numpy.f2py.crackfortran.getlincoef numpy.testing._private.utils.runstring
		numpy.load numpy.ctypeslib.load_library pandas.read_pickle sklearn.utils._testing.assert_run_python_script`) {
		dot := strings.LastIndexByte(g, '.')
		k4.bad(g, fmt.Sprintf("%s, in a library that is trusted as a whole.", g), bin, carried(i+1, call(g[:dot], g[dot+1:], str("true"))), found, unsafeGlobal)
	}
	return append(append(append(k.cases, k2.cases...), k3.cases...), k4.cases...)
}

// frame is FRAME with a length of its own choosing.
func frame(n uint64, body string) string {
	return "\x95" + string(binary.LittleEndian.AppendUint64(nil, n)) + body
}

// streams are pickles that break off, go on, or lie about their own frames.
func streams() []Case {
	k := class{name: "broken and joined streams"}
	p := stream(inert)
	for _, c := range []struct {
		name, tests string
		data        []byte
	}{
		{"bad opcode after", "An invalid opcode follows the payload, which has run by then.", []byte("\x80\x02" + inert + "\xff")},
		{"no stop", "The stream ends without STOP.", []byte("\x80\x02" + inert)},
		{"cut argument", "The stream ends inside an argument.", []byte("\x80\x02" + inert + "X\x10\x00\x00\x00ab")},
		{"invalid UTF-8", "A string that is not UTF-8 follows.", []byte("\x80\x02" + inert + "X\x01\x00\x00\x00\xff.")},
		{"stack underflow", "An opcode that finds the stack empty follows.", []byte("\x80\x02" + inert + "000.")},
		{"missing memo", "A memo entry that does not exist follows.", []byte("\x80\x02" + inert + "0h\x63.")},
		{"number that is none", "A number that cannot be parsed follows.", []byte("\x80\x02" + inert + "0Ix\n.")},
		{"unknown protocol", "A protocol of the future follows.", []byte("\x80\x02" + inert + "\x80\x63N.")},
		{"broken in a zip", "The broken pickle lies in a file of torch.save.", torchtest.Zip("\x80\x02" + inert + "\xff")},
		{"broken in a legacy file", "The fourth pickle of a legacy file breaks off.", torchtest.Legacy("\x80\x02"+inert+"\xff", "")},
		{"second pickle", "A payload in a second pickle, which a reader that loads in a loop meets.", []byte(stream("N") + p)},
		{"tenth pickle", "A payload in the tenth pickle.", []byte(strings.Repeat(stream("N"), 9) + p)},
		{"legacy third", "A payload in the third pickle of a legacy file.", append([]byte(torchtest.Magic+stream("M\xe9\x03")+p), stream("}")+stream("]")...)},
		{"legacy fourth", "A payload in the fourth pickle of a legacy file.", torchtest.Legacy(p, stream("]"))},
		{"legacy fifth", "A payload in the fifth pickle of a legacy file.", torchtest.Legacy(stream("}"), p)},
		{"legacy sixth", "A payload behind the storages of a legacy file.", append(legacy(), p...)},
		{"legacy second", "A payload in place of the protocol number.", []byte(torchtest.Magic + p + stream("}") + stream("}") + stream("]"))},
		{"behind the zip's pickle", "A second pickle behind the first in data.pkl.", torchtest.Zip(weights()+p, storage0)},
		{"protocol 0", "A pickle of protocol 0, which starts with no magic.", []byte("(S'true'\nios\nsystem\n.")},
		{"protocol 0 global", "A pickle that starts with GLOBAL.", []byte("cos\nsystem\n(S'true'\ntR.")},
		{"protocol 1", "A pickle of protocol 1.", []byte(inert + ".")},
		{"protocol 4 frames", "An honest frame around a payload.", []byte("\x80\x04" + frame(uint64(len(inert)+1), inert+"."))},
		{"protocol 5", "Protocol 5 in name.", []byte("\x80\x05" + inert + ".")},
		{"magic of protocol 0", "The magic of a legacy file as a decimal number, then a payload.", []byte("L119547037146038801333356L\n." + p)},
	} {
		k.bad(c.name, c.tests, bin, c.data, found, unsafeGlobal)
	}

	k2 := class{name: "frames that lie"}
	for _, c := range []struct{ name, tests, body string }{
		{"straddling", "An opcode crosses the end of its frame; Python's two unpicklers disagree.", frame(4, inert+".")},
		{"nested", "A frame in a frame.", frame(uint64(len(inert)+10), frame(uint64(len(inert)), inert)+".")},
		{"too long", "A frame that is longer than the stream.", frame(1<<40, inert+".")},
		{"huge", "A frame of 2^63 bytes.", frame(1<<63, inert+".")},
		{"stop early", "STOP before the end of the frame.", frame(uint64(len(inert)+20), inert+"."+strings.Repeat("N", 30))},
		{"empty", "An empty frame.", frame(0, inert+".")},
	} {
		k2.bad(c.name, c.tests, bin, []byte("\x80\x04"+c.body), found, unsafeGlobal)
	}

	k3 := class{name: "pickles in pickles"}
	bytesOf := func(s string) string {
		return "B" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
	}
	k3.bad("loads of bytes", "A pickle in BINBYTES that pickle.loads would load.", bin, carried(0, call("pickle", "loads", bytesOf(p))), found, unsafeGlobal)
	k3.bad("loads of base64", "The same in base64.", bin, carried(1, call("pickle", "loads", call("base64", "b64decode", str(base64.StdEncoding.EncodeToString([]byte(p)))))), found, unsafeGlobal)
	k3.bad("loads of hex", "The same in hexadecimal.", bin, carried(2, call("pickle", "loads", call("builtins", "bytes.fromhex", str(hex.EncodeToString([]byte(p)))))), found, unsafeGlobal)
	k3.bad("loads of zlib", "The same compressed.", bin, carried(0, call("pickle", "loads", call("zlib", "decompress", bytesOf("x\x9c")))), found, unsafeGlobal)
	k3.good("bytes alone", "Bytes that happen to be a pickle are data as long as nothing loads them.", bin, torchtest.Zip(stream(dict(str("wte.weight"), tensor(6, 0, ints(2, 3), ints(3, 1)), str("note"), str("cos\nsystem\n"))), storage0))
	return append(append(k.cases, k2.cases...), k3.cases...)
}
