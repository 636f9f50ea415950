# shellcheck shell=bash
# The MongoDB and the S3 server of tests and benchmarks.  Sourced after
# util/lib.sh.

# ends what runs in directory $1 and removes it
iv_peers_stop() {
    util/versitygw stop "$1/s3"
    util/mongod stop "$1/mongod"
    rm -rf "$1/s3" "$1/mongod"
}


# starts both in directory $1 and names them in TEST_MONGODB_URI, TEST_S3_*
iv_peers() {
    # what a killed run left behind
    iv_peers_stop "$1"

    TEST_MONGODB_URI=$(util/mongod start "$1/mongod")
    export TEST_MONGODB_URI
    export TEST_S3_REGION=us-east-1 TEST_S3_BUCKET=images
    export TEST_S3_ACCESS=test-access TEST_S3_SECRET=test-secret-key
    TEST_S3_ENDPOINT=$(
        S3_REGION=$TEST_S3_REGION S3_BUCKET=$TEST_S3_BUCKET \
        S3_ACCESS=$TEST_S3_ACCESS S3_SECRET=$TEST_S3_SECRET \
        util/versitygw start "$1/s3"
    )
    export TEST_S3_ENDPOINT
}


# names what util/setup-test has put into the cache, and this nginx
iv_test_env() {
    local settings

    settings=$(util/setup-test --env)
    eval "$settings"
    export TEST_PYTHON TEST_OPENAPI TEST_PROMTOOL TEST_PERL5 IV_CACHE
    export TEST_NGINX_BINARY=${TEST_NGINX_BINARY:-$(iv_nginx)}
    export TEST_MODULE=${TEST_MODULE:-$IV_MODULE}
    # answers of loopback servers never come by a proxy
    unset http_proxy HTTP_PROXY all_proxy ALL_PROXY
}
