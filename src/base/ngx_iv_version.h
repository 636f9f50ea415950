/*
 * The module's version, as storages see it in User-Agent.
 */

#ifndef NGX_IV_VERSION_H
#define NGX_IV_VERSION_H

#define NGX_IV_VERSION  "0.1.0"

#endif
