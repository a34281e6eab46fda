#!/usr/bin/env bash
# Fetches libtorch 2.1.0 for the gotch engine and prints the environment to
# build with, for linux on x86-64:
#
#   eval "$(scripts/libtorch.sh cpu)"         # about 690 MB to fetch, 540 MB kept
#   eval "$(scripts/libtorch.sh cuda)"        # about 2.5 GB, 4.1 GB kept, for CUDA 12.1
#   go build -tags gotch ./cmd/btu-scan
#
# The libraries come from the wheels of PyTorch, each pinned by its SHA-256: pip
# fetches them (so its settings for mirrors and proxies hold), nothing in them is
# executed, and no Python is needed to build or to run. They are kept in DIR, the
# second argument, .libtorch/cpu or .libtorch/cuda unless given; what is there is
# not fetched again. A program that is built so looks for them there.
set -euo pipefail
usage="usage: libtorch.sh cpu|cuda [DIR]"
kind=${1:?$usage}
case $kind in cpu | cuda) ;; *) echo "$usage" >&2; exit 4 ;; esac
if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
  echo "libtorch.sh: there are no pinned wheels for $(uname -s) on $(uname -m)" >&2
  exit 1
fi
root=$(cd "$(dirname "$0")/.." && pwd)
dir=${2:-$root/.libtorch/$kind}
if [ "${dir#/}" = "$dir" ]; then dir=$PWD/$dir; fi
case $dir in
*[[:space:]\'\"]*) echo "libtorch.sh: $dir: cgo cannot take flags with spaces or quotes in them; name another folder" >&2; exit 1 ;;
esac

# libtorch_cpu.so needs cudart and cupti even where no GPU is used.
wheels() {
  cat <<'PINS'
torch==2.1.0 --hash=sha256:2224622407ca52611cbc5b628106fde22ed8e679031f5a99ce286629fc696128
nvidia-cuda-runtime-cu12==12.1.105 --hash=sha256:6e258468ddf5796e25f1dc591a31029fa317d97a0a94ed93468fc86301d61e40
nvidia-cuda-cupti-cu12==12.1.105 --hash=sha256:e54fde3983165c624cb79254ae9818a456eb6e87a7fd4d56a2352c24ee542d7e
PINS
  if [ "$kind" = cpu ]; then return; fi
  cat <<'PINS'
nvidia-cublas-cu12==12.1.3.1 --hash=sha256:ee53ccca76a6fc08fb9701aa95b6ceb242cdaab118c3bb152af4e579af792728
nvidia-cuda-nvrtc-cu12==12.1.105 --hash=sha256:339b385f50c309763ca65456ec75e17bbefcbbf2893f462cb8b90584cd27a1c2
nvidia-cudnn-cu12==8.9.2.26 --hash=sha256:5ccb288774fdfb07a7e7025ffec286971c06d8d7b4fb162525334616d7629ff9
nvidia-cufft-cu12==11.0.2.54 --hash=sha256:794e3948a1aa71fd817c3775866943936774d1c14e7628c74f6f7417224cdf56
nvidia-curand-cu12==10.3.2.106 --hash=sha256:9d264c5036dde4e64f1de8c50ae753237c12e0b1348738169cd0f8a536c0e1e0
nvidia-cusolver-cu12==11.4.5.107 --hash=sha256:8a7ec542f0412294b15072fa7dab71d31334014a69f953004ea7a118206fe0dd
nvidia-cusparse-cu12==12.1.0.106 --hash=sha256:f3b50f42cf363f86ab21f720998517a659a48131e8d538dc02f8768237bd884c
nvidia-nccl-cu12==2.18.1 --hash=sha256:1a6c4acefcbebfa6de320f412bf7866de856e786e0462326ba1bac40de0b5e71
nvidia-nvjitlink-cu12==12.1.105 --hash=sha256:015fed699b390ce3b8a8578d822d501a4194d0a341d3859554067c1ab291cb85
nvidia-nvtx-cu12==12.1.105 --hash=sha256:dc21cf308ca5691e7c04d962e213f8a4aa9bbfa23d95412f452254c2caeb09e5
PINS
}

fetch() {
  local part=$dir.part lib
  rm -rf "$part"
  mkdir -p "$part/wheels" "$part/stubs"
  wheels >"$part/wheels/pins.txt"
  echo "libtorch.sh: fetching libtorch 2.1.0 ($kind) to $dir" >&2
  python3 -m pip download --quiet --no-deps --require-hashes --only-binary :all: --python-version 3.11 \
    --platform manylinux1_x86_64 --dest "$part/wheels" -r "$part/wheels/pins.txt" >&2
  unzip -q "$part/wheels/torch-*.whl" 'torch/include/*' 'torch/lib/lib*.so*' -x '*/libtorch_python.so' -d "$part"
  for lib in "$part"/wheels/nvidia_*.whl; do
    unzip -q -o "$lib" 'nvidia/*/lib/*' -d "$part"
  done
  rm -rf "$part/wheels"
  if [ "$kind" = cpu ]; then
    rm "$part"/torch/lib/lib*cuda*.so "$part"/torch/lib/lib{nvfuser_codegen,caffe2_nvrtc,torch_global_deps,torch,shm}.so
  fi
  # gotch always names these to the linker. What is needed of them is named below.
  for lib in cuda cudart cublas cudnn caffe2_nvrtc nvrtc-builtins nvrtc nvToolsExt c10_cuda torch_cuda torch; do
    ar rcs "$part/stubs/lib$lib.a"
  done
  mv "$part" "$dir"
}
if [ ! -d "$dir" ]; then fetch; fi

torch=$dir/torch
libs="-l:libtorch_cpu.so -lc10"
if [ "$kind" = cuda ]; then libs="-Wl,--no-as-needed -l:libtorch_cuda.so -l:libc10_cuda.so $libs"; fi
# An RPATH, and not a RUNPATH, is also searched for what the libraries need.
search=$torch/lib
for lib in "$dir"/nvidia/*/lib; do search=$search:$lib; done
cat <<ENV
export CGO_ENABLED=1
export CGO_CXXFLAGS='-O2 -D_GLIBCXX_USE_CXX11_ABI=0 -I$torch/include -I$torch/include/torch/csrc/api/include'
export CGO_LDFLAGS='-L$dir/stubs -L$torch/lib $libs -Wl,--disable-new-dtags -Wl,-rpath,$search'
ENV
