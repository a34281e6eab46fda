package vecmath

func init() {
	ways["plain"] = func() func() {
		was := useAVX2
		useAVX2 = false
		return func() { useAVX2 = was }
	}
}
