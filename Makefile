# The work is in util/; 'make help' lists what there is.

.PHONY: help run test build setup bench fuzz asan valgrind tsan analyze leaks \
	chaos http3 lint matrix clean

help:
	@sed -n 's/^#: //p' Makefile

#: make run             MongoDB, storage and nginx on 127.0.0.1:8080
#:                      (LISTEN=0.0.0.0:8080, STORAGE=s3, MONGODB_URI=...)
run:
	@util/run

#: make test            everything that can be checked
test:
	@util/test

#: make build           build/ngx_http_image_vault_module.so
build:
	@util/build

#: make setup           what run and test need, fetched once
setup:
	@util/setup-run
	@util/setup-test

#: make bench           measured against proxy_pass
bench:
	@util/bench

#: make fuzz            fuzz drivers, a minute each (SECONDS_EACH=60)
fuzz:
	@util/fuzz --seconds $(or $(SECONDS_EACH),60)

#: make asan            the tests in an nginx with ASan and UBSan
asan:
	@util/asan

#: make valgrind        some tests in an nginx under valgrind
valgrind:
	@util/valgrind

#: make tsan            what threads and processes share, with ThreadSanitizer
tsan:
	@SANITIZE=thread util/unit thread cache cache_stress flight zone_meter \
		zone_watch breaker

#: make analyze         clang's static analyzer and clang-tidy
analyze:
	@util/analyze

#: make leaks           100,000 requests and 100 reloads, is memory the same?
#:                      (LEAKS_REQUESTS=n, LEAKS_RELOADS=n)
leaks:
	@util/leaks

#: make chaos           everything is killed, is anything lost?
#:                      (CHAOS_SECONDS=600, CHAOS_SEED=n)
chaos:
	@util/chaos

#: make http3           uploads over HTTP/3, in nginx 1.28
http3:
	@util/http3

#: make lint            layers, sizes, style
lint:
	@util/lint

#: make matrix          nginx 1.22, 1.26, 1.28, the newest; gcc, clang; static;
#:                      libmongoc 2.x; 25 minutes
matrix:
	@util/matrix

#: make clean           removes build/
clean:
	@rm -rf build
