#!/usr/bin/env node
// The command on the PATH: hands over to the built program.
import '../dist/src/main.js';
