/* SPDX-License-Identifier: MIT */
#pragma once
/* The build gives the version; without it this is a development tree. */
#ifndef DV_VERSION
#define DV_VERSION "0.1.0"
#endif
