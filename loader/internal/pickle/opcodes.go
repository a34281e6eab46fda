package pickle

// Opcodes by their names in Python's pickletools.
const (
	opMark           = '('
	opStop           = '.'
	opPop            = '0'
	opPopMark        = '1'
	opDup            = '2'
	opFloat          = 'F'
	opInt            = 'I'
	opBinInt         = 'J'
	opBinInt1        = 'K'
	opLong           = 'L'
	opBinInt2        = 'M'
	opNone           = 'N'
	opPersID         = 'P'
	opBinPersID      = 'Q'
	opReduce         = 'R'
	opString         = 'S'
	opBinString      = 'T'
	opShortBinString = 'U'
	opUnicode        = 'V'
	opBinUnicode     = 'X'
	opAppend         = 'a'
	opBuild          = 'b'
	opGlobal         = 'c'
	opDict           = 'd'
	opEmptyDict      = '}'
	opAppends        = 'e'
	opGet            = 'g'
	opBinGet         = 'h'
	opInst           = 'i'
	opLongBinGet     = 'j'
	opList           = 'l'
	opEmptyList      = ']'
	opObj            = 'o'
	opPut            = 'p'
	opBinPut         = 'q'
	opLongBinPut     = 'r'
	opSetItem        = 's'
	opTuple          = 't'
	opEmptyTuple     = ')'
	opSetItems       = 'u'
	opBinFloat       = 'G'

	opProto    = 0x80
	opNewObj   = 0x81
	opExt1     = 0x82
	opExt2     = 0x83
	opExt4     = 0x84
	opTuple1   = 0x85
	opTuple2   = 0x86
	opTuple3   = 0x87
	opNewTrue  = 0x88
	opNewFalse = 0x89
	opLong1    = 0x8a
	opLong4    = 0x8b

	opBinBytes      = 'B'
	opShortBinBytes = 'C'

	opShortBinUnicode = 0x8c
	opBinUnicode8     = 0x8d
	opBinBytes8       = 0x8e
	opEmptySet        = 0x8f
	opAddItems        = 0x90
	opFrozenSet       = 0x91
	opNewObjEx        = 0x92
	opStackGlobal     = 0x93
	opMemoize         = 0x94
	opFrame           = 0x95

	opByteArray8     = 0x96
	opNextBuffer     = 0x97
	opReadOnlyBuffer = 0x98
)

// An argument is how an opcode's argument is laid out in the stream.
type argument uint8

const (
	argNone    argument = iota
	argFixed            // a number of bytes
	argLine             // up to a newline
	argNumber           // a line that holds a number
	argLines            // two lines
	argCount1           // a one-byte count and as many bytes
	argCount4           // a four-byte count, unsigned
	argCount4s          // a four-byte count, signed
	argCount8           // an eight-byte count
)

type opcode struct {
	name  string // "" for bytes that are no opcode
	arg   argument
	width int // of argFixed
}

var opcodes = [256]opcode{
	opMark:            {"MARK", argNone, 0},
	opStop:            {"STOP", argNone, 0},
	opPop:             {"POP", argNone, 0},
	opPopMark:         {"POP_MARK", argNone, 0},
	opDup:             {"DUP", argNone, 0},
	opFloat:           {"FLOAT", argNumber, 0},
	opInt:             {"INT", argNumber, 0},
	opBinInt:          {"BININT", argFixed, 4},
	opBinInt1:         {"BININT1", argFixed, 1},
	opLong:            {"LONG", argNumber, 0},
	opBinInt2:         {"BININT2", argFixed, 2},
	opNone:            {"NONE", argNone, 0},
	opPersID:          {"PERSID", argLine, 0},
	opBinPersID:       {"BINPERSID", argNone, 0},
	opReduce:          {"REDUCE", argNone, 0},
	opString:          {"STRING", argLine, 0},
	opBinString:       {"BINSTRING", argCount4s, 0},
	opShortBinString:  {"SHORT_BINSTRING", argCount1, 0},
	opUnicode:         {"UNICODE", argLine, 0},
	opBinUnicode:      {"BINUNICODE", argCount4, 0},
	opAppend:          {"APPEND", argNone, 0},
	opBuild:           {"BUILD", argNone, 0},
	opGlobal:          {"GLOBAL", argLines, 0},
	opDict:            {"DICT", argNone, 0},
	opEmptyDict:       {"EMPTY_DICT", argNone, 0},
	opAppends:         {"APPENDS", argNone, 0},
	opGet:             {"GET", argNumber, 0},
	opBinGet:          {"BINGET", argFixed, 1},
	opInst:            {"INST", argLines, 0},
	opLongBinGet:      {"LONG_BINGET", argFixed, 4},
	opList:            {"LIST", argNone, 0},
	opEmptyList:       {"EMPTY_LIST", argNone, 0},
	opObj:             {"OBJ", argNone, 0},
	opPut:             {"PUT", argNumber, 0},
	opBinPut:          {"BINPUT", argFixed, 1},
	opLongBinPut:      {"LONG_BINPUT", argFixed, 4},
	opSetItem:         {"SETITEM", argNone, 0},
	opTuple:           {"TUPLE", argNone, 0},
	opEmptyTuple:      {"EMPTY_TUPLE", argNone, 0},
	opSetItems:        {"SETITEMS", argNone, 0},
	opBinFloat:        {"BINFLOAT", argFixed, 8},
	opProto:           {"PROTO", argFixed, 1},
	opNewObj:          {"NEWOBJ", argNone, 0},
	opExt1:            {"EXT1", argFixed, 1},
	opExt2:            {"EXT2", argFixed, 2},
	opExt4:            {"EXT4", argFixed, 4},
	opTuple1:          {"TUPLE1", argNone, 0},
	opTuple2:          {"TUPLE2", argNone, 0},
	opTuple3:          {"TUPLE3", argNone, 0},
	opNewTrue:         {"NEWTRUE", argNone, 0},
	opNewFalse:        {"NEWFALSE", argNone, 0},
	opLong1:           {"LONG1", argCount1, 0},
	opLong4:           {"LONG4", argCount4s, 0},
	opBinBytes:        {"BINBYTES", argCount4, 0},
	opShortBinBytes:   {"SHORT_BINBYTES", argCount1, 0},
	opShortBinUnicode: {"SHORT_BINUNICODE", argCount1, 0},
	opBinUnicode8:     {"BINUNICODE8", argCount8, 0},
	opBinBytes8:       {"BINBYTES8", argCount8, 0},
	opEmptySet:        {"EMPTY_SET", argNone, 0},
	opAddItems:        {"ADDITEMS", argNone, 0},
	opFrozenSet:       {"FROZENSET", argNone, 0},
	opNewObjEx:        {"NEWOBJ_EX", argNone, 0},
	opStackGlobal:     {"STACK_GLOBAL", argNone, 0},
	opMemoize:         {"MEMOIZE", argNone, 0},
	opFrame:           {"FRAME", argFixed, 8},
	opByteArray8:      {"BYTEARRAY8", argCount8, 0},
	opNextBuffer:      {"NEXT_BUFFER", argNone, 0},
	opReadOnlyBuffer:  {"READONLY_BUFFER", argNone, 0},
}
