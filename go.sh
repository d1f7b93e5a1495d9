NOVT_ROOT=/tmp/h-trace; . /tmp/h-trace/tools/lib.sh; cd /tmp/pp
lib_as_user perf record -q -e cpu-clock:u -F 2000 -o /tmp/pp/data ./novt -m 16 -nographic -no-reboot --perf-map -device isa-debug-exit,iobase=0xf4,iosize=1 -symbols hot.elf -device loader,file=hot.bin,addr=0x7c00,cpu-num=0 </dev/null; echo $?; ls -la data
lib_as_user perf report -i data --stdio | head -20
