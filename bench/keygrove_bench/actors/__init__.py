"""The actor runtime beside Erlang/OTP, pykka, xoscar and otpylib: `actors` of the bench command."""
